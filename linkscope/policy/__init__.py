"""Whether what was found is allowed: rules over the documents of files, and the policy that says which hold where."""
