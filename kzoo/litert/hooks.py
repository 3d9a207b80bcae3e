"""The private door of LiteRT's Python interpreter that kzoo goes through, watched by a test."""


def operators_after_delegation(interpreter):
    """The operators of an allocated interpreter as dicts of op_name, inputs and outputs.

    XNNPACK takes operators over at allocation and appends one called DELEGATE for each group of
    neighbours that it took. The public interface doesn't say how many there are.
    """
    return interpreter._get_ops_details()
