// The official Node client when it is told to wait; `gateway/limits/official.rs` starts it and looks at the log.
// The alias `plant` makes the next two seconds and a half of `window` full, and `slot` serves one request at a time.

import assert from "node:assert/strict";
import OpenAI from "openai";

const { BYNAME_URL: baseURL, BYNAME_KEY: KEY, BYNAME_KEY_APP: SPENT } = process.env;
const ASK = [{ role: "user", content: "Hello" }];

const chat = (model, maxRetries, apiKey = KEY, more = {}) =>
  new OpenAI({ baseURL, apiKey, maxRetries, timeout: 20_000 }).chat.completions.create({ model, messages: ASK, ...more });

async function isLimited(work) {
  const error = await work.then(
    () => assert.fail("RateLimitError was due"),
    (error) => error,
  );
  assert.equal(error.constructor, OpenAI.RateLimitError, String(error));
  assert.deepEqual([error.status, error.code, error.type], [429, "rate_limited", "rate_limited"]);
}

async function waitsForAWindowAndSucceeds() {
  await chat("plant", 0);
  await isLimited(chat("window", 0));
  assert.equal((await chat("window", 1)).choices[0].message.content, "ok");
  await chat("plant", 0);
  let told = "";
  for await (const chunk of await chat("window", 1, KEY, { stream: true })) told += chunk.choices[0]?.delta.content ?? "";
  assert.equal(told, "ok");
}

async function waitsForASlotAndSucceeds() {
  const answers = await Promise.all([chat("slot", 1), chat("slot", 1)]);
  assert.deepEqual(answers.map((answer) => answer.choices[0].message.content), ["ok", "ok"]);
}

async function doesNotWaitForTomorrow() {
  await chat("general", 0, SPENT);
  await isLimited(chat("general", 2, SPENT));
}

for (const promise of [waitsForAWindowAndSucceeds, waitsForASlotAndSucceeds, doesNotWaitForTomorrow]) {
  console.log(promise.name);
  await promise();
}
