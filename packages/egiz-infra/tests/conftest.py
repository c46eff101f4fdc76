"""The command `egiz-infra` on a directory of its own, in this process."""

import pytest
from click.testing import CliRunner
from cryptography import x509
from egiz_infra.cli import main
from egiz_infra.layout import Layout


class Infra:
    """Call it with arguments: checks the exit code and returns the output."""

    def __init__(self, directory):
        self.layout = Layout(directory / "egiz")

    def __call__(self, *arguments, code=0):
        command = ["--directory", str(self.layout.root), *arguments]
        done = CliRunner().invoke(main, command)
        assert done.exit_code == code, done.output
        assert done.exc_info is None or issubclass(done.exc_info[0], SystemExit)
        return done.output

    def certificates(self, name):
        found = (self.layout.pki / "certificates").glob(f"{name}-*.pem")
        return [x509.load_pem_x509_certificate(path.read_bytes()) for path in found]

    def broker_names(self):
        """The names and addresses in the certificate that the broker serves."""
        pem = (self.layout.broker / "broker.pem").read_bytes()
        extensions = x509.load_pem_x509_certificate(pem).extensions
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName)
        return {str(one.value) for one in names.value}


@pytest.fixture
def infra_without_authority(tmp_path):
    """Before `egiz-infra init`."""
    return Infra(tmp_path)


@pytest.fixture
def infra(infra_without_authority):
    """After `egiz-infra init`."""
    infra_without_authority("init")
    return infra_without_authority
