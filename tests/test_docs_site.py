"""`make docs`: whole, and sufficient to itself."""

import re
import subprocess

import pytest
import yaml
from egiz_bridge.config.settings import described
from rig.servers import REPOSITORY

# Its environment is made for the first of the tests.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built by the command that people type."""
    built = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        ["make", "docs", f"SITE={built}"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return built


def test_each_page_of_docs_is_in_the_site(site):
    docs = REPOSITORY / "docs"
    for page in docs.rglob("*.md"):
        built = site / page.relative_to(docs).with_suffix(".html")
        if page.name == "README.md":
            built = built.with_name("index.html")
        assert built.exists(), page


def test_no_page_asks_anything_of_the_network(site):
    asset = r'<(?:script|img|iframe|source|link)[^>]* (?:src|href)="?https?:'
    pages = list(site.rglob("*.html"))
    assert len(pages) > 50
    for page in pages:
        text = page.read_text()
        assert not re.findall(asset, text), page
        assert 'class="mermaid"' not in text, "the theme would fetch its script"
    for file in [*site.rglob("*.css"), *site.glob("**/*.svg")]:
        assert not re.findall(r"url\([\"']?https?:|@import", file.read_text()), file


def test_each_alert_leads_to_its_section(site):
    text = (site / "runbook.html").read_text()
    rules = yaml.safe_load((REPOSITORY / "infra/prometheus/alerts.yml").read_text())
    alerts = [rule for group in rules["groups"] for rule in group["rules"]]
    assert len(alerts) > 30
    for alert in alerts:
        _, _, anchor = alert["annotations"]["runbook_url"].partition("#")
        (facts,) = re.findall(rf'<h3 id="{anchor}">.*?</h3>\s*<p.*?</p>', text)
        assert alert["labels"]["severity"].capitalize() in facts


@pytest.mark.parametrize(
    ("program", "command"),
    [
        ("egiz-bridge", "dlq replay"),
        ("egiz-edge", "deploy"),
        ("egiz-infra", "revoke"),
        ("egiz-schema", "validate"),
        ("egiz-sim", "run"),
    ],
)
def test_each_command_has_its_help(site, program, command):
    text = (site / f"reference/commands/{program}.html").read_text()
    anchor = f"{program} {command}".replace(" ", "-")
    assert re.search(rf'<h2 id="{anchor}">', text)
    assert f"{program} {command} [" in re.sub(r"<[^>]*>", "", text)


def test_each_setting_of_the_bridge_is_in_the_reference(site):
    text = (site / "reference/settings.html").read_text()
    for key, _default, _meaning in described():
        assert f"<code>{key}</code>" in text
