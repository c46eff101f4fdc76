"""The tools of others read schemas, AsyncAPI document and TypeScript types."""

import json
import re
from collections import Counter

import pytest
from egiz_schema import vectors
from egiz_schema.documents import render, write
from egiz_schema.documents.examples import EXAMPLES
from rig import node
from rig.documents import FULL, KINDS
from rig.servers import REPOSITORY


def asyncapi():
    return json.loads(render()["asyncapi.json"])


@pytest.fixture(scope="session")
def npm_directory(tmp_path_factory):
    """A directory with the generated files, in which node finds the other tools."""
    directory = node.install(tmp_path_factory.mktemp("npm"))
    write(directory)
    return directory


VALIDATE = """
const { Parser } = require("@asyncapi/parser");
(async () => {
  for (const name of process.argv.slice(1)) {
    const text = require("fs").readFileSync(name, "utf-8");
    const { document, diagnostics } = await new Parser().parse(text);
    const isParsed = document !== undefined;
    console.log(JSON.stringify({ isParsed, diagnostics }));
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
    printed = node.run(
        ["node", "-e", VALIDATE, "asyncapi.json", "wrong.json"], npm_directory
    )
    ours, others = map(json.loads, printed.splitlines())
    assert ours == {"isParsed": True, "diagnostics": []}
    assert not others["isParsed"]
    errors = [each for each in others["diagnostics"] if each["severity"] == 0]
    assert len(errors) >= 2


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
    node.run([compiler, "--strict", "--noEmit", "egiz.ts", "usage.ts"], npm_directory)


CHECK = """
const vectors = require("./vectors.json");
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const verdict = (validate, payload) => {
  try {
    return validate(JSON.parse(decoder.decode(Buffer.from(payload, "hex"))));
  } catch {
    return false; // no JSON
  }
};
const found = vectors.map(({ kind, payload }) => verdict(validators[kind], payload));
console.log(JSON.stringify(found));
"""
# What a schema cannot say; the page "Write a device" names each.
BEYOND_SCHEMAS = {
    ("TEL-5", "empty"): 6,
    ("TEL-12", "empty"): 1,
    ("WIRE-12", "empty"): 1,
    ("WIRE-14", "device_mismatch"): 1,
    ("WIRE-1", "too_large"): 1,
    ("WIRE-5", "duplicate"): 3,
    ("TEL-15", "duplicate"): 1,
    ("WIRE-6", "too_deep"): 1,
    ("CFG-7", "range"): 1,
}


def _documented(title):
    """A way to compile a schema, as the page shows it, of each kind."""
    page = (REPOSITORY / "docs/device/write.md").read_text()
    (code,) = re.findall(rf'```js title="{title}"\n(.*?)```', page, re.DOTALL)
    parts = [
        "{"
        + code.replace("telemetry.schema", f"{kind}.schema")
        + f"validators.{kind} = validate; }}"
        for kind in KINDS
    ]
    return "const validators = {};\n" + "\n".join(parts)


@pytest.mark.timeout(400)  # npm and node, on a loaded machine
@pytest.mark.parametrize("title", ["check.js", "check-draft-7.js"])
def test_ajv_says_of_each_vector_what_a_strict_writer_does(npm_directory, title):
    listed = [each for kind in KINDS for each in vectors.load(kind)[1]]
    payloads = [
        {"kind": each["kind"], "payload": vectors.payload_of(each).hex()}
        for each in listed
    ]
    (npm_directory / "vectors.json").write_text(json.dumps(payloads))
    script = npm_directory / title
    script.write_text(_documented(title) + CHECK)
    *warnings, printed = node.run(["node", title], npm_directory).splitlines()
    assert warnings == []
    differences = Counter(
        (each["rule"], each.get("reason"))
        for each, is_valid in zip(listed, json.loads(printed), strict=True)
        if each["verdict"] != "either" and is_valid != (each["verdict"] == "accept")
    )
    assert differences == BEYOND_SCHEMAS
