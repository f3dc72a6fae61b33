"""The judges of the tests: the real loaders, the real root file systems, and files made to be asked about.

Nothing here imports `linkscope`: what a test expects never comes from what it tests.
"""

from tests.oracle.availability import Unavailable

__all__ = ["Unavailable"]
