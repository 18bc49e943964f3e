// The official Node client, unchanged, against an endpoint: BASE_URL, API_KEY and MODEL come from the environment.
// With EMBEDDING_MODEL set, embeddings are tried as well. Prints one JSON object of what was seen.

import OpenAI from "openai";

const { BASE_URL, API_KEY, MODEL, EMBEDDING_MODEL } = process.env;
const client = new OpenAI({ baseURL: BASE_URL, apiKey: API_KEY, maxRetries: 0, timeout: 60_000 });
const messages = [{ role: "user", content: "Hello! Who are you?" }];
const tools = [
  {
    type: "function",
    function: {
      name: "weather",
      description: "Weather of a town",
      parameters: { type: "object", properties: { town: { type: "string" } }, required: ["town"] },
    },
  },
];

const seen = { models: [], chunks: 0, stream: "" };
for await (const model of client.models.list()) seen.models.push(model.id);
seen.model = (await client.models.retrieve(MODEL)).id;

const answer = await client.chat.completions.create({ model: MODEL, messages, tools, max_tokens: 40, temperature: 0 });
seen.chat = answer.choices[0].message.content;
seen.tool_calls = (answer.choices[0].message.tool_calls ?? []).map((call) => ({
  name: call.function.name,
  arguments: call.function.arguments,
}));
seen.usage = answer.usage.total_tokens;

const stream = await client.chat.completions.create({ model: MODEL, messages, max_tokens: 40, temperature: 0, stream: true });
for await (const chunk of stream) {
  seen.chunks += 1;
  seen.stream += chunk.choices[0]?.delta?.content ?? "";
}

if (EMBEDDING_MODEL) {
  const embeddings = await client.embeddings.create({ model: EMBEDDING_MODEL, input: ["one", "two"] });
  seen.embeddings = embeddings.data.map((entry) => entry.embedding.length);
}

async function refused(call) {
  try {
    await call();
  } catch (error) {
    return { class: error.constructor.name, status: error.status, message: error.message };
  }
  return null;
}

seen.unknown_model = await refused(() => client.chat.completions.create({ model: "no-such-model", messages }));
const wrong = client.withOptions({ apiKey: "pm-wrong" });
seen.wrong_key = await refused(() => wrong.chat.completions.create({ model: MODEL, messages }));
seen.short_salt = await refused(() =>
  client.chat.completions.create({ model: MODEL, messages, cache_salt: "x".repeat(31) }),
);
console.log(JSON.stringify(seen));
