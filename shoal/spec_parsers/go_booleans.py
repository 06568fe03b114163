"""Boolean values as Go programs take them."""

from collections.abc import Mapping

GO_BOOLEANS: Mapping[str, bool] = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}
"""Those of Go's strconv.ParseBool."""
