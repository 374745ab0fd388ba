"""Random inputs for the targets, from a seed: the same each time."""

import json
import random

from forgery import mutants
from peers.headers import random_headers

SCALARS = [
    "1", "-1", "0", "1.5", "1e400", "-0.0", "NaN", "Infinity", "true", "false", "null", '""', '"a"', '"\\u00e9"',
    '"é"', '"\\ud800"', '"\\u0000"', "12345678901234567890", '"2024-01-01"', "[]", "{}",
]  # fmt: skip
KEYS = ["a", "b", "_permanent", "_user_id", " t", " b", " m", " u", " d", " di", " t__", " u__", " ", "", "é"]
TAGGED = {
    " t": ["[1,2]", "[]", '"ab"', "1", "null", '{"a":1}'],
    " b": ['"AAEC"', '"A"', '"!"', '""', "1", '"AAEC\\n"'],
    " m": ['"<b>"', "1", "null", "[]"],
    " u": ['"00000000000000000000000000000001"', '"0"', "1", '"{00000000-0000-0000-0000-000000000001}"'],
    " d": ['"Thu, 29 Feb 2024 12:30:15 GMT"', '"Thu"', "1", "null", '"Fri, 31 Dec 9999 23:59:59 GMT"', '""'],
    " di": ['{" t__":1}', '{" di__":{" t":[1]}}', "1", "[]", "{}", '{"a":1}'],
}
NOISE = ["", " ", "\n", ",", "}", "]", "{", "[", '"', ":", "\\", "\x00", "\ufeff"]


def value(choose, depth):
    kind = choose.random()
    if kind < 0.4 or depth > 4:
        return choose.choice(SCALARS)
    if kind < 0.65:
        tag = choose.choice(list(TAGGED))
        inner = choose.choice(TAGGED[tag]) if choose.random() < 0.6 else value(choose, depth + 1)
        return "{" + f"{json.dumps(tag)}:{inner}" + "}"
    if kind < 0.8:
        return "[" + ",".join(value(choose, depth + 1) for _ in range(choose.randrange(4))) + "]"
    return mapping(choose, depth + 1)


def mapping(choose, depth=0):
    items = (f"{json.dumps(choose.choice(KEYS))}:{value(choose, depth)}" for _ in range(choose.randrange(5)))
    return "{" + ",".join(items) + "}"


def payloads(count, seed):
    choose = random.Random(seed)
    for _ in range(count):
        text = mapping(choose) if choose.random() < 0.95 else value(choose, 0)
        if choose.random() < 0.1:
            place = choose.randrange(len(text) + 1)
            text = text[:place] + choose.choice(NOISE) + text[place + choose.randrange(2) :]
        yield text.encode("utf-8", "surrogatepass")


INPUTS = {"cookie": mutants, "header": random_headers, "payload": payloads}
