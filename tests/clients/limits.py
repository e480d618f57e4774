"""The official Python client when it is told to wait; `gateway/limits/official.rs` starts it and looks at the log.

The alias `plant` makes the next two seconds and a half of `window` full, and `slot` serves one request at a time.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import openai

URL = os.environ["BYNAME_URL"]
KEY = os.environ["BYNAME_KEY"]
SPENT = os.environ["BYNAME_KEY_APP"]
ASK = [{"role": "user", "content": "Hello"}]


def chat(model, retries, key=KEY, **more):
    client = openai.OpenAI(base_url=URL, api_key=key, max_retries=retries, timeout=20)
    return client.chat.completions.create(model=model, messages=ASK, **more)


def is_limited(work):
    try:
        work()
    except openai.RateLimitError as error:
        assert (error.status_code, error.code, error.type) == (429, "rate_limited", "rate_limited"), error
        return
    raise AssertionError("RateLimitError was due")


def waits_for_a_window_and_succeeds():
    chat("plant", 0)
    is_limited(lambda: chat("window", 0))
    assert chat("window", 1).choices[0].message.content == "ok"
    chat("plant", 0)
    chunks = list(chat("window", 1, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "ok", chunks


def waits_for_a_slot_and_succeeds():
    with ThreadPoolExecutor(2) as both:
        answers = [both.submit(chat, "slot", 1) for _ in range(2)]
        assert [answer.result().choices[0].message.content for answer in answers] == ["ok", "ok"]


def does_not_wait_for_tomorrow():
    chat("general", 0, SPENT)
    is_limited(lambda: chat("general", 2, SPENT))


for promise in (waits_for_a_window_and_succeeds, waits_for_a_slot_and_succeeds, does_not_wait_for_tomorrow):
    print(promise.__name__, flush=True)
    promise()
