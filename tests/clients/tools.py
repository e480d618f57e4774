"""Tool loops of the official Python client; `gateway/guard/loops.rs` has the model, which wants its own ids back."""

import json
import os

import openai

client = openai.OpenAI(base_url=os.environ["BYNAME_URL"], api_key=os.environ["BYNAME_KEY"], max_retries=0, timeout=20)
NAMES = ("weather", "clock")
TOOLS = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in NAMES]


def whole(messages):
    return client.chat.completions.create(model="general", messages=messages, tools=TOOLS).choices[0]


def streamed(messages):
    with client.chat.completions.stream(model="general", messages=messages, tools=TOOLS) as stream:
        for _ in stream:
            pass
        return stream.get_final_completion().choices[0]


def loop(ask):
    messages, rounds = [{"role": "user", "content": "Hi"}], []
    while (choice := ask(messages)).finish_reason == "tool_calls":
        calls = choice.message.tool_calls
        rounds.append([(call.function.name, json.loads(call.function.arguments)) for call in calls])
        assert len({call.id for call in calls}) == len(calls), calls
        messages.append(choice.message.to_dict())
        # Results may come in any order.
        for call in reversed(calls):
            messages.append({"role": "tool", "tool_call_id": call.id, "content": call.function.arguments})
        assert len(rounds) < 5, rounds
    assert choice.message.content == "要点", choice
    assert rounds == [[("weather", {"city": "東京"}), ("weather", {"city": "大阪"})], [("clock", {})]], rounds


for ask in (whole, streamed):
    print(ask.__name__, flush=True)
    loop(ask)
