"""The base of every error that a user can cause or mend: shown as one line, never as a traceback."""


class UserError(Exception):
    """The message names the field or file, the value, and what is allowed or what to do."""
