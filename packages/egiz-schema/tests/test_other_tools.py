"""The tools of others read the AsyncAPI document and the TypeScript types."""

import json
import subprocess

import pytest
from egiz_schema.documents import render, write
from egiz_schema.documents.examples import EXAMPLES
from rig.documents import FULL
from rig.process import require

# Exact, so that a release of theirs cannot break a commit of ours.
NPM_PACKAGES = ("@asyncapi/parser@3.6.3", "typescript@7.0.2")


def asyncapi():
    return json.loads(render()["asyncapi.json"])


@pytest.fixture(scope="session")
def npm_directory(tmp_path_factory):
    """A directory with the generated files, in which node finds the other tools."""
    directory = tmp_path_factory.mktemp("npm")
    require("node", "apt-get install nodejs")
    npm = require("npm", "apt-get install npm")
    quiet = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
    run([npm, "install", *quiet, "--prefix", directory, *NPM_PACKAGES], directory)
    write(directory)
    return directory


def run(command, directory):
    done = subprocess.run(
        command, cwd=directory, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


VALIDATE = """
const { Parser } = require("@asyncapi/parser");
(async () => {
  for (const name of process.argv.slice(1)) {
    const text = require("fs").readFileSync(name, "utf-8");
    const { document, diagnostics } = await new Parser().parse(text);
    const isParsed = document !== undefined;
    const complaints = diagnostics.filter(({ severity }) => severity <= 1);
    console.log(JSON.stringify({ isParsed, complaints }));
  }
})();
"""


@pytest.mark.timeout(400)  # npm and node, on a loaded machine
def test_the_parser_of_asyncapi_accepts_ours_and_refuses_a_spoiled_one(npm_directory):
    wrong = asyncapi()
    wrong["operations"]["send_status"]["bindings"]["mqtt"]["qos"] = 3
    del wrong["channels"]["config"]["messages"]["config"]
    (npm_directory / "wrong.json").write_text(json.dumps(wrong))
    # One process: to load the parser takes most of the time.
    printed = run(
        ["node", "-e", VALIDATE, "asyncapi.json", "wrong.json"], npm_directory
    )
    ours, others = map(json.loads, printed.splitlines())
    assert ours == {"isParsed": True, "complaints": []}
    assert not others["isParsed"]
    assert len(others["complaints"]) >= 2


USAGE = """
import {{ QUANTITIES }} from "./egiz";
import type {{ Kind, Payloads, Status, Telemetry, Topic }} from "./egiz";

export const telemetry: Telemetry = {telemetry};
export const status: Payloads["status"] = {status};
export const config: Payloads["config"] = {config};
export const command: Payloads["command"] = {command};
export const topic: Topic<"factory", "oven-001", "status"> =
  "sensors/factory/oven-001/status";
export const zones: Array<number | null> = telemetry.thermal?.temperature_zones ?? [];
export const humidity: number | null = telemetry.values?.humidity ?? null;
export const unit: string = QUANTITIES.humidity.unit;
export const declared: Status["channels"] = {{ humidity: {{ quantity: "brix" }} }};
// @ts-expect-error: a contact is true or false
export const door: Telemetry["contacts"] = {{ door: 1 }};
// @ts-expect-error: there is no such kind
export const kind: Kind = "event";
// @ts-expect-error: a device id has a hyphen
export const bad: Topic = "sensors/factory/oven/status";
// @ts-expect-error: a reading has a time
export const timeless: Telemetry = {{ device_id: "oven-001" }};
// @ts-expect-error: a voltage is a number
export const text: Telemetry["electrical"] = {{ voltage: {{ a: "220" }} }};
"""


@pytest.mark.timeout(400)  # npm and node, on a loaded machine
def test_typescript_accepts_the_types_and_the_examples(npm_directory):
    examples = {
        kind: json.dumps(next(iter(payloads.values())))
        for kind, payloads in {**EXAMPLES, **{k: {"": FULL[k]} for k in FULL}}.items()
    }
    usage = npm_directory / "usage.ts"
    usage.write_text(USAGE.format(**examples))
    compiler = npm_directory / "node_modules" / ".bin" / "tsc"
    run([compiler, "--strict", "--noEmit", "egiz.ts", "usage.ts"], npm_directory)
