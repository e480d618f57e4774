"""Judges configurations by the schema for editors, as an editor would: `schema.py SCHEMA FILE...`, a line for each file."""

import json
import re
import sys

import yaml
from jsonschema import Draft202012Validator


class Core(yaml.SafeLoader):
    """YAML's core schema: what `yes` and `2027-06-30` mean in older YAML is text."""

    def construct_mapping(self, node, deep=False):
        names = [self.construct_object(name) for name, _ in node.value]
        # The schema knows text alone as a name.
        return {str(n): self.construct_object(v, deep=True) for n, (_, v) in zip(names, node.value)}


Core.yaml_implicit_resolvers = {}
for tag, pattern, first in [
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|false", list("tf")),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
]:
    Core.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), first)
Core.add_constructor("tag:yaml.org,2002:map", lambda loader, node: loader.construct_mapping(node))
Core.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(node.value))

with open(sys.argv[1], encoding="utf-8") as file:
    schema = yaml.safe_load(file)
Draft202012Validator.check_schema(schema)
validator = Draft202012Validator(schema)
for path in sys.argv[2:]:
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        # JSON may be indented by tabs, which this reader of YAML does not take.
        tree = json.loads(text) if text.startswith("{\n") else yaml.load(text, Core)
    except (yaml.YAMLError, ValueError, RecursionError):
        print("unread", path)
        continue
    wrong = next(iter(sorted(validator.iter_errors(tree), key=lambda error: error.json_path)), None)
    print("invalid" if wrong else "valid", path)
