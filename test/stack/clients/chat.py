"""The official Python client, unchanged, against an endpoint: BASE_URL, API_KEY and MODEL come from the environment.

With EMBEDDING_MODEL set, embeddings are tried as well. Prints one JSON object of what was seen.
"""

import json
import os

import openai

client = openai.OpenAI(base_url=os.environ["BASE_URL"], api_key=os.environ["API_KEY"], max_retries=0, timeout=60)
model = os.environ["MODEL"]
seen = {"models": [entry.id for entry in client.models.list()], "model": client.models.retrieve(model).id}

messages = [{"role": "user", "content": "Hello! Who are you?"}]
tools = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Weather of a town",
            "parameters": {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]},
        },
    }
]

answer = client.chat.completions.create(model=model, messages=messages, tools=tools, max_tokens=40, temperature=0)
seen["chat"] = answer.choices[0].message.content
seen["tool_calls"] = [
    {"name": call.function.name, "arguments": call.function.arguments} for call in answer.choices[0].message.tool_calls or []
]
seen["usage"] = answer.usage.total_tokens

stream = client.chat.completions.create(model=model, messages=messages, max_tokens=40, temperature=0, stream=True)
chunks = list(stream)
seen["stream"] = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
seen["chunks"] = len(chunks)

if os.environ.get("EMBEDDING_MODEL"):
    embeddings = client.embeddings.create(model=os.environ["EMBEDDING_MODEL"], input=["one", "two"])
    seen["embeddings"] = [len(entry.embedding) for entry in embeddings.data]


def refused(call):
    try:
        call()
    except openai.APIStatusError as error:
        return {"class": type(error).__name__, "status": error.status_code, "message": error.message}
    return None


seen["unknown_model"] = refused(lambda: client.chat.completions.create(model="no-such-model", messages=messages))
wrong = client.with_options(api_key="pm-wrong")
seen["wrong_key"] = refused(lambda: wrong.chat.completions.create(model=model, messages=messages))
seen["short_salt"] = refused(
    lambda: client.chat.completions.create(model=model, messages=messages, extra_body={"cache_salt": "x" * 31})
)
print(json.dumps(seen))
