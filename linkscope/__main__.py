"""`python -m linkscope`: the same as the program `linkscope`."""

from linkscope.cli.main import main

main()
