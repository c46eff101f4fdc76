"""TLS 1.2, which is what stock MicroPython has; certificates and keys in DER only."""

import ssl


def context(paths):
    """A context in which the broker's certificate and name are checked.

    Raises OSError if a file is damaged or missing.

    Args:
        paths: of the DER files `ca`, and `cert` and `key` where the broker asks for a
            certificate of ours.
    """
    if type(paths) is not dict or "ca" not in paths:
        raise OSError("settings.json: tls: cannot be used, it needs a ca")
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.verify_mode = ssl.CERT_REQUIRED
    part = "ca"
    try:
        made.load_verify_locations(cadata=_content(paths["ca"]))
        if "cert" in paths:
            part = "cert or key"
            made.load_cert_chain(_content(paths["cert"]), _content(paths["key"]))
    except (OSError, ValueError) as error:  # the latter is of Mbed TLS
        raise OSError("settings.json: tls: %s cannot be used: %s" % (part, error))
    return made


def _content(path):
    if type(path) is not str:  # a number would be an open file
        raise OSError("not the path of a file")
    with open(path, "rb") as file:
        return file.read()
