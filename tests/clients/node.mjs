// The official Node client against a gateway; `gateway/clients.rs` starts it and chooses what stands behind it.
// Each function is one promise. The first broken one ends the script with its error.

import assert from "node:assert/strict";
import OpenAI from "openai";

const { BYNAME_URL: baseURL, BYNAME_KEY: KEY } = process.env;
const TEXT = "要点は次の3つです。";
const ASK = [{ role: "user", content: "月次レポートの要点を3つにまとめてください。" }];
const WEATHER = [
  {
    type: "function",
    function: {
      name: "get_weather",
      description: "The weather of a city.",
      parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
    },
  },
];

const client = (apiKey = KEY, maxRetries = 0) => new OpenAI({ baseURL, apiKey, maxRetries, timeout: 20_000 });
const chat = (body, key, retries) => client(key, retries).chat.completions.create({ model: "general", messages: ASK, ...body });
const told = (chunks) => chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");

async function all(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

async function listsAndRetrievesModels() {
  const models = (await client().models.list()).data;
  assert.deepEqual(models.map((model) => model.id), ["general", "secure", "tools", "failing", "cut"]);
  assert.deepEqual(models[0], {
    id: "general",
    object: "model",
    display_name: "General",
    description: "汎用的な業務向けアシスタント。",
  });
  assert.equal((await client().models.retrieve("secure")).display_name, "Secure");
}

async function chats() {
  const answer = await chat({});
  assert.match(answer.id, /^chatcmpl-[0-9a-f-]{36}$/);
  assert.equal(answer.model, "general");
  assert.equal(answer.choices[0].message.content, TEXT);
  assert.equal(answer.choices[0].finish_reason, "stop");
  assert.deepEqual(answer.usage, { prompt_tokens: 42, completion_tokens: 128, total_tokens: 170 });
  assert.ok(answer._request_id && !answer._request_id.includes("canary"));
}

async function streams() {
  const chunks = await all(await chat({ stream: true }));
  assert.equal(told(chunks), TEXT);
  assert.equal(new Set(chunks.map((chunk) => chunk.id)).size, 1);
  assert.ok(chunks.every((chunk) => chunk.model === "general" && !("usage" in chunk)));
  assert.equal(chunks.at(-1).choices[0].finish_reason, "stop");
}

async function streamsWithUsage() {
  const chunks = await all(await chat({ stream: true, stream_options: { include_usage: true } }));
  assert.equal(told(chunks), TEXT);
  assert.ok(chunks.slice(0, -1).every((chunk) => chunk.usage === null));
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.equal(chunks.at(-1).usage.total_tokens, 170);
}

async function callsAToolAndTakesItsResult() {
  const first = await chat({ model: "tools", tools: WEATHER });
  const [call] = first.choices[0].message.tool_calls;
  assert.match(call.id, /^call_/);
  assert.deepEqual(JSON.parse(call.function.arguments), { city: "東京" });
  const result = { role: "tool", tool_call_id: call.id, content: '{"weather":"晴れ"}' };
  const messages = [...ASK, first.choices[0].message, result];
  const second = await chat({ model: "tools", tools: WEATHER, messages });
  assert.equal(second.choices[0].message.content, TEXT);
}

async function streamsAToolCall() {
  const stream = client().chat.completions.stream({ model: "tools", messages: ASK, tools: WEATHER });
  const [call] = (await stream.finalMessage()).tool_calls;
  assert.match(call.id, /^call_/);
  assert.deepEqual(JSON.parse(call.function.arguments), { city: "東京" });
}

async function refused(kind, code, work) {
  const error = await work.then(
    () => assert.fail(`${kind.name} was due`),
    (error) => error,
  );
  assert.equal(error.constructor, kind, String(error));
  assert.equal(error.code, code);
  assert.ok(!/canary|upstream-/.test(error.message), error.message);
  return error;
}

async function refusalsAreTheRightExceptions() {
  const { BYNAME_KEY_EXPIRED, BYNAME_KEY_MODELS_ONLY, BYNAME_KEY_CHAT_ONLY } = process.env;
  await refused(OpenAI.BadRequestError, "invalid_request", chat({ messages: [] }));
  await refused(OpenAI.BadRequestError, "invalid_request", chat({ temperature: 9 }));
  const error = await refused(OpenAI.AuthenticationError, "invalid_api_key", chat({}, "bn-wrong"));
  assert.equal(error.type, "invalid_request_error");
  await refused(OpenAI.AuthenticationError, "invalid_api_key", chat({}, BYNAME_KEY_EXPIRED));
  await refused(OpenAI.PermissionDeniedError, "insufficient_scope", chat({}, BYNAME_KEY_MODELS_ONLY));
  await refused(OpenAI.PermissionDeniedError, "insufficient_scope", client(BYNAME_KEY_CHAT_ONLY).models.list());
  await refused(OpenAI.NotFoundError, "model_not_found", chat({ model: "private" }));
  await refused(OpenAI.NotFoundError, "model_not_found", client().models.retrieve("private"));
  const down = await refused(OpenAI.InternalServerError, "upstream_unavailable", chat({ model: "failing" }));
  assert.equal(down.status, 502);
  await refused(OpenAI.InternalServerError, "upstream_unavailable", chat({ model: "failing" }, KEY, 2));
}

async function aCutStreamNeverLooksFinished() {
  const stream = await chat({ model: "cut", stream: true });
  await refused(OpenAI.APIError, "upstream_unavailable", all(stream));
}

for (const promise of [
  listsAndRetrievesModels,
  chats,
  streams,
  streamsWithUsage,
  callsAToolAndTakesItsResult,
  streamsAToolCall,
  refusalsAreTheRightExceptions,
  aCutStreamNeverLooksFinished,
]) {
  console.log(promise.name);
  await promise();
}
