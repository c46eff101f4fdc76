"""A broker that wants certificates, and what a device needs for it, in DER."""

from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization as form

from rig.process import free_port
from rig.servers import Mosquitto

AUTHORITY = trustme.CA()


class TlsBroker(Mosquitto):
    """A plain listener for us, and one that wants a certificate of AUTHORITY."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.tls_port = free_port()
        AUTHORITY.cert_pem.write_to_path(directory / "ca.pem")
        issued = AUTHORITY.issue_cert("localhost")
        issued.private_key_and_cert_chain_pem.write_to_path(directory / "broker.pem")
        super().__init__(
            directory / "mosquitto",
            f"""
            listener {self.tls_port} localhost
            allow_anonymous true
            cafile {directory}/ca.pem
            certfile {directory}/broker.pem
            keyfile {directory}/broker.pem
            tls_version tlsv1.2
            require_certificate true
            """,
        )


def der_files(
    directory: Path, device: str, ca: trustme.CA, issuer: trustme.CA
) -> dict[str, str]:
    """What a device is given: paths of DER files, the key as SEC 1."""
    issued = issuer.issue_cert(device)
    key = form.load_pem_private_key(issued.private_key_pem.bytes(), None)
    contents = {
        "ca": _certificate(ca.cert_pem),
        "cert": _certificate(issued.cert_chain_pems[0]),
        "key": key.private_bytes(
            form.Encoding.DER,
            form.PrivateFormat.TraditionalOpenSSL,
            form.NoEncryption(),
        ),
    }
    for name, content in contents.items():
        (directory / f"{name}.der").write_bytes(content)
    return {name: str(directory / f"{name}.der") for name in contents}


def _certificate(pem: trustme.Blob) -> bytes:
    return x509.load_pem_x509_certificate(pem.bytes()).public_bytes(form.Encoding.DER)
