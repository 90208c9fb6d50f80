"""Tools for developers: scripts that measure the code. They assert nothing, and no package contains them."""
