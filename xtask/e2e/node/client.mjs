// The official OpenAI client for Node.js, through the gateway.
//
// OPENAI_BASE_URL and OPENAI_API_KEY come from the environment; CLIENT is the folder that holds
// node_modules. Each check prints one line; the first that fails ends the run.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";

const require = createRequire(path.join(process.env.CLIENT, "package.json"));
const OpenAI = require("openai").OpenAI;
const client = new OpenAI({ maxRetries: 0, timeout: 20_000 });

const model = "test-model";
const user = (text) => [{ role: "user", content: text }];
const tools = [
  {
    type: "function",
    function: {
      name: "weather",
      parameters: { type: "object", properties: { text: { type: "string" } } },
    },
  },
];

const checks = {
  async chat() {
    const answer = await client.chat.completions.create({ model, messages: user("Grüße, 世界 🌍") });
    assert.equal(answer.choices[0].message.content, "Grüße, 世界 🌍");
    assert.ok(answer.usage.total_tokens > 0);
    assert.ok(answer._request_id);
  },

  async "chat by alias"() {
    const answer = await client.chat.completions.create({ model: "fast", messages: user("hello") });
    assert.equal(answer.choices[0].message.content, "hello");
    assert.equal(answer.model, model);
  },

  async streaming() {
    let text = "";
    let reason;
    const stream = await client.chat.completions.create({
      model,
      messages: user("one two 三 four"),
      stream: true,
    });
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta?.content ?? "";
      reason = chunk.choices[0]?.finish_reason ?? reason;
    }
    assert.deepEqual([text, reason], ["one two 三 four", "stop"]);
  },

  async "tool call"() {
    const messages = user("please call it");
    const answer = await client.chat.completions.create({ model, messages, tools });
    const call = answer.choices[0].message.tool_calls[0];
    assert.equal(call.function.name, "weather");
    assert.deepEqual(JSON.parse(call.function.arguments), { text: "please call it" });
  },

  async "tool call streamed"() {
    let name = "";
    let args = "";
    const messages = user("please call it");
    const stream = await client.chat.completions.create({ model, messages, tools, stream: true });
    for await (const chunk of stream) {
      for (const call of chunk.choices[0]?.delta?.tool_calls ?? []) {
        name += call.function.name ?? "";
        args += call.function.arguments ?? "";
      }
    }
    assert.equal(name, "weather");
    assert.deepEqual(JSON.parse(args), { text: "please call it" });
  },

  async embeddings() {
    const answer = await client.embeddings.create({ model, input: ["a", "b"] });
    assert.deepEqual(
      answer.data.map((item) => [...item.embedding]),
      [
        [97, 0.5, -0.25, 1],
        [98, 0.5, -0.25, 1],
      ],
    );
  },

  async "model list"() {
    const names = [];
    for await (const item of client.models.list()) names.push(item.id);
    assert.ok(names.includes(model), `${names}`);
    assert.equal((await client.models.retrieve(model)).id, model);
  },

  async "an error"() {
    const call = client.chat.completions.create({ model: "no-such-model", messages: user("x") });
    await assert.rejects(call, (error) => {
      assert.ok(error instanceof OpenAI.NotFoundError, `${error}`);
      assert.equal(error.code, "model_not_found");
      assert.ok(error.requestID);
      return true;
    });
  },

  async "a stream given up"() {
    const stream = await client.chat.completions.create({
      model,
      messages: user("one two three"),
      stream: true,
    });
    for await (const chunk of stream) {
      assert.ok(chunk);
      break;
    }
  },
};

for (const [name, run] of Object.entries(checks)) {
  await run();
  console.log(`ok   node: ${name}`);
}
