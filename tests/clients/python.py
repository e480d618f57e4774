"""The official Python client against a gateway; `gateway/clients.rs` starts it and chooses what stands behind it.

Each function is one promise. The first broken one ends the script with a traceback.
"""

import asyncio
import json
import os

import openai

URL = os.environ["BYNAME_URL"]
KEY = os.environ["BYNAME_KEY"]
TEXT = "要点は次の3つです。"
ASK = [{"role": "user", "content": "月次レポートの要点を3つにまとめてください。"}]
WEATHER = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather of a city.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]


def client(key=KEY, retries=0):
    return openai.OpenAI(base_url=URL, api_key=key, max_retries=retries, timeout=20)


def lists_and_retrieves_models():
    models = client().models.list().data
    assert [model.id for model in models] == ["general", "secure", "tools", "failing", "cut"], models
    assert models[0].object == "model"
    assert models[0].display_name == "General"
    assert models[0].description == "汎用的な業務向けアシスタント。"
    one = client().models.retrieve("secure")
    assert (one.id, one.display_name) == ("secure", "Secure"), one


def chats():
    answer = client().chat.completions.create(model="general", messages=ASK)
    assert answer.id.startswith("chatcmpl-"), answer
    assert answer.object == "chat.completion"
    assert answer.model == "general"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content == TEXT
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (42, 128, 170)
    assert answer.system_fingerprint is None
    assert answer._request_id and "canary" not in answer._request_id


def told(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def streams():
    chunks = list(client().chat.completions.create(model="general", messages=ASK, stream=True))
    assert told(chunks) == TEXT, chunks
    assert {chunk.model for chunk in chunks} == {"general"}
    assert len({chunk.id for chunk in chunks}) == 1
    assert all(chunk.object == "chat.completion.chunk" for chunk in chunks)
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"


def streams_with_usage():
    options = {"include_usage": True}
    chunks = list(client().chat.completions.create(model="general", messages=ASK, stream=True, stream_options=options))
    assert told(chunks) == TEXT, chunks
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == 170


def calls_a_tool_and_takes_its_result():
    first = client().chat.completions.create(model="tools", messages=ASK, tools=WEATHER)
    assert first.choices[0].finish_reason == "tool_calls", first
    (call,) = first.choices[0].message.tool_calls
    assert call.id.startswith("call_"), call
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "東京"}
    result = {"role": "tool", "tool_call_id": call.id, "content": '{"weather":"晴れ"}'}
    messages = [*ASK, first.choices[0].message.to_dict(), result]
    second = client().chat.completions.create(model="tools", messages=messages, tools=WEATHER)
    assert second.choices[0].message.content == TEXT, second


def streams_a_tool_call():
    with client().chat.completions.stream(model="tools", messages=ASK, tools=WEATHER) as stream:
        for _ in stream:
            pass
        message = stream.get_final_completion().choices[0].message
    (call,) = message.tool_calls
    assert call.id.startswith("call_"), call
    assert json.loads(call.function.arguments) == {"city": "東京"}


def raises(kind, code, work):
    try:
        work()
    except kind as error:
        assert type(error) is kind, error
        assert error.code == code, (error.code, code)
        assert "canary" not in str(error) and "upstream-" not in str(error), error
        return error
    raise AssertionError(f"{kind.__name__} was due")


def refusals_are_the_right_exceptions():
    def chat(model="general", key=KEY, retries=0, **more):
        asked = {"messages": ASK, **more}
        return lambda: client(key, retries).chat.completions.create(model=model, **asked)

    raises(openai.BadRequestError, "invalid_request", chat(messages=[]))
    raises(openai.BadRequestError, "invalid_request", chat(temperature=9))
    error = raises(openai.AuthenticationError, "invalid_api_key", chat(key="bn-wrong"))
    assert error.type == "invalid_request_error"
    raises(openai.AuthenticationError, "invalid_api_key", chat(key=os.environ["BYNAME_KEY_EXPIRED"]))
    raises(openai.PermissionDeniedError, "insufficient_scope", chat(key=os.environ["BYNAME_KEY_MODELS_ONLY"]))
    listing = client(os.environ["BYNAME_KEY_CHAT_ONLY"]).models.list
    raises(openai.PermissionDeniedError, "insufficient_scope", listing)
    raises(openai.NotFoundError, "model_not_found", chat(model="private"))
    raises(openai.NotFoundError, "model_not_found", lambda: client().models.retrieve("private"))
    error = raises(openai.InternalServerError, "upstream_unavailable", chat(model="failing"))
    assert error.status_code == 502
    raises(openai.InternalServerError, "upstream_unavailable", chat(model="failing", retries=2))


def a_cut_stream_never_looks_finished():
    stream = client().chat.completions.create(model="cut", messages=ASK, stream=True)
    raises(openai.APIError, "upstream_unavailable", lambda: list(stream))


async def the_async_client_is_served_too():
    async with openai.AsyncOpenAI(base_url=URL, api_key=KEY, max_retries=0, timeout=20) as asynchronous:
        answer, stream = await asyncio.gather(
            asynchronous.chat.completions.create(model="general", messages=ASK),
            asynchronous.chat.completions.create(model="secure", messages=ASK, stream=True),
        )
        assert answer.choices[0].message.content == TEXT
        chunks = [chunk async for chunk in stream]
        assert told(chunks) == TEXT
        assert {chunk.model for chunk in chunks} == {"secure"}
        assert [model.id async for model in asynchronous.models.list()][0] == "general"


for promise in (
    lists_and_retrieves_models,
    chats,
    streams,
    streams_with_usage,
    calls_a_tool_and_takes_its_result,
    streams_a_tool_call,
    refusals_are_the_right_exceptions,
    a_cut_stream_never_looks_finished,
):
    print(promise.__name__, flush=True)
    promise()
print(the_async_client_is_served_too.__name__, flush=True)
asyncio.run(the_async_client_is_served_too())
