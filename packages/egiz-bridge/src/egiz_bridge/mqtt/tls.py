"""TLS on the connection to the broker, and its errors in words."""

import socket
import ssl

from egiz_bridge.errors import MqttError

# The words of OpenSSL, and which setting to look at.
TLS_HINTS = {
    "wrong version number": "this port does not speak TLS; is mqtt:// meant?",
    "certificate required": "the broker wants one: set mqtt.certificate_file",
    "handshake failure": "does the broker want mqtt.certificate_file?",
    "eof occurred": "the broker closed: is mqtt.certificate_file what it wants?",
    "unexpected eof": (
        "the broker closed: is mqtt:// meant? Is mqtt.certificate_file what it wants?"
    ),
    "unknown ca": "the broker does not know who signed mqtt.certificate_file",
    "bad certificate": "the broker refuses mqtt.certificate_file",
    "certificate expired": "mqtt.certificate_file has expired",
    "certificate revoked": "mqtt.certificate_file has been revoked",
}


def wrap_tls(tls: ssl.SSLContext, sock: socket.socket, host: str) -> ssl.SSLSocket:
    """The socket with TLS on it.

    Raises:
        ssl.SSLError: the handshake failed; `tls_error` explains it.
        MqttError: the connection broke off meanwhile.
    """
    try:
        # A name may be written with the root; in a certificate it never is.
        return tls.wrap_socket(sock, server_hostname=host.removesuffix("."))
    except ssl.SSLError:
        raise
    except OSError as error:
        message = f"TLS: {error} (does this port speak TLS, or is mqtt:// meant?)"
        raise MqttError(message) from error


def rest_of_records(sock: ssl.SSLSocket, at_most: int) -> bytes:
    """What has come already: one read of TLS gives one record, often one message.

    A selector does not see what is decrypted, so that is read in any case.
    """
    timeout = sock.gettimeout()
    sock.settimeout(0)
    chunks, size = [], 0
    try:
        while size < at_most or sock.pending():
            chunks.append(sock.recv(at_most))
            size += len(chunks[-1])
            if not chunks[-1]:
                break  # closed; the next read says so
    except OSError:
        pass  # there is no more for now, or the next read says what is wrong
    finally:
        sock.settimeout(timeout)
    return b"".join(chunks)


def tls_error(error: ssl.SSLError) -> str:
    """What went wrong, with the key to look at."""
    if isinstance(error, ssl.SSLCertVerificationError):
        message = error.verify_message
        is_unknown = "issuer" in message or "self-signed" in message
        hint = " (is mqtt.ca_file right?)" if is_unknown else ""
        return f"TLS: the broker's certificate: {message}{hint}"
    reason = (error.reason or error.args[-1]).replace("_", " ").lower()
    reason = reason.partition(" ( ssl.c")[0]
    for words, hint in TLS_HINTS.items():
        if words in reason:
            return f"TLS: {reason} ({hint})"
    return f"TLS: {reason}"
