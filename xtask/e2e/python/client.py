"""The official OpenAI client for Python, through the gateway.

OPENAI_BASE_URL and OPENAI_API_KEY come from the environment. Each check prints one line; the
first that fails ends the run with a traceback.
"""

import asyncio
import json

import openai

client = openai.OpenAI(max_retries=0, timeout=20)

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city",
        "parameters": {"type": "object", "properties": {"text": {"type": "string"}}},
    },
}


def user(text):
    return [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]


def check(function):
    function()
    print("ok   python:", function.__name__.replace("_", " "), flush=True)


def chat():
    answer = client.chat.completions.create(model="test-model", messages=user("Grüße, 世界 🌍"))
    assert answer.choices[0].message.content == "Grüße, 世界 🌍", answer
    assert answer.choices[0].finish_reason == "stop", answer
    assert answer.usage.total_tokens > 0, answer


def chat_by_alias():
    answer = client.chat.completions.create(model="fast", messages=user("hello"))
    assert answer.choices[0].message.content == "hello", answer
    assert answer.model == "test-model", "the backend is asked by its own name"


def request_id():
    raw = client.chat.completions.with_raw_response.create(model="test-model", messages=user("x"))
    assert raw.headers.get("x-request-id"), dict(raw.headers)
    assert raw.parse()._request_id == raw.headers["x-request-id"]


def streaming():
    text, reason, usage = "", None, None
    stream = client.chat.completions.create(
        model="test-model",
        messages=user("one two 三 four"),
        stream=True,
        stream_options={"include_usage": True},
    )
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reason = choice.finish_reason or reason
    assert (text, reason) == ("one two 三 four", "stop"), (text, reason)
    assert usage.completion_tokens == 4, usage


def tool_call():
    answer = client.chat.completions.create(
        model="test-model", messages=user("please call it"), tools=[WEATHER]
    )
    assert answer.choices[0].finish_reason == "tool_calls", answer
    call = answer.choices[0].message.tool_calls[0]
    assert call.function.name == "weather", call
    assert json.loads(call.function.arguments) == {"text": "please call it"}, call
    follow_up = user("please call it") + [
        answer.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
        {"role": "user", "content": "thanks"},
    ]
    answer = client.chat.completions.create(model="test-model", messages=follow_up, tools=[WEATHER])
    assert answer.choices[0].message.content == "thanks", answer


def tool_call_streamed():
    name, arguments, reason = "", "", None
    for chunk in client.chat.completions.create(
        model="test-model", messages=user("please call it"), tools=[WEATHER], stream=True
    ):
        for choice in chunk.choices:
            reason = choice.finish_reason or reason
            for call in choice.delta.tool_calls or []:
                name += call.function.name or ""
                arguments += call.function.arguments or ""
    assert (name, reason) == ("weather", "tool_calls"), (name, reason)
    assert json.loads(arguments) == {"text": "please call it"}, arguments


def completions():
    answer = client.completions.create(model="test-model", prompt="once upon")
    assert answer.choices[0].text == "once upon", answer
    stream = client.completions.create(model="test-model", prompt="once upon", stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == "once upon"


def embeddings():
    for options in ({}, {"encoding_format": "float"}):
        answer = client.embeddings.create(model="test-model", input=["a", "b"], **options)
        vectors = [item.embedding for item in answer.data]
        assert vectors == [[97.0, 0.5, -0.25, 1.0], [98.0, 0.5, -0.25, 1.0]], vectors


def model_list():
    names = [model.id for model in client.models.list()]
    assert "test-model" in names, names
    assert client.models.retrieve("test-model").id == "test-model"


def an_error():
    try:
        client.chat.completions.create(model="no-such-model", messages=user("x"))
    except openai.NotFoundError as error:
        assert error.code == "model_not_found", error
        assert error.request_id, error
        assert "no-such-model" in str(error), error
        return
    raise AssertionError("a model that nobody offers was called")


def many_at_once():
    async def run():
        several = openai.AsyncOpenAI(max_retries=0, timeout=20)

        async def one(text):
            answer = await several.chat.completions.create(model="test-model", messages=user(text))
            return answer.choices[0].message.content

        texts = [f"number {index}" for index in range(50)]
        assert await asyncio.gather(*map(one, texts)) == texts

    asyncio.run(run())


for function in (
    chat,
    chat_by_alias,
    request_id,
    streaming,
    tool_call,
    tool_call_streamed,
    completions,
    embeddings,
    model_list,
    an_error,
    many_at_once,
):
    check(function)
