// Tool loops of the official Node client; `gateway/guard/loops.rs` has the model, which wants its own ids back.

import assert from "node:assert/strict";
import OpenAI from "openai";

const { BYNAME_URL, BYNAME_KEY } = process.env;
const client = new OpenAI({ baseURL: BYNAME_URL, apiKey: BYNAME_KEY, maxRetries: 0, timeout: 20000 });
const tools = ["weather", "clock"].map((name) => ({
  type: "function",
  function: { name, parameters: { type: "object" } },
}));

const whole = async (messages) =>
  (await client.chat.completions.create({ model: "general", messages, tools })).choices[0];

const streamed = async (messages) =>
  (await client.chat.completions.stream({ model: "general", messages, tools }).finalChatCompletion()).choices[0];

async function loop(ask) {
  const messages = [{ role: "user", content: "Hi" }];
  const rounds = [];
  for (;;) {
    const { message, finish_reason } = await ask(messages);
    if (finish_reason !== "tool_calls") {
      assert.equal(message.content, "要点");
      break;
    }
    const calls = message.tool_calls;
    rounds.push(calls.map((call) => [call.function.name, JSON.parse(call.function.arguments)]));
    assert.equal(new Set(calls.map((call) => call.id)).size, calls.length);
    messages.push(message);
    // Results may come in any order.
    for (const call of [...calls].reverse()) {
      messages.push({ role: "tool", tool_call_id: call.id, content: call.function.arguments });
    }
    assert.ok(rounds.length < 5);
  }
  assert.deepEqual(rounds, [[["weather", { city: "東京" }], ["weather", { city: "大阪" }]], [["clock", {}]]]);
}

for (const ask of [whole, streamed]) {
  console.log(ask.name);
  await loop(ask);
}
