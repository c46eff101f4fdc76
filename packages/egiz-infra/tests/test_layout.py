"""Who owns the files that egiz-infra writes."""

import os

import pytest


def test_a_file_belongs_to_whoever_owns_its_directory(infra):
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    os.chown(infra.layout.broker, 1883, 1884)
    infra("apply", "--files-only")
    for name in ("acl", "ca.pem", "crl.pem"):
        found = (infra.layout.broker / name).stat()
        assert (found.st_uid, found.st_gid) == (1883, 1884)
