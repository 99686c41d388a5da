// A client and a server on grpc-js: node suite.js server PORT; node suite.js client HOST:PORT [CA.pem]
// The client prints `passed NAME` or `failed NAME: reason` for each case.
'use strict';
const home = process.env.INTEROP_JS;
const load = (name) => require(require.resolve(name, { paths: [home] }));
const grpc = load('@grpc/grpc-js');
const fs = require('fs');
const assert = require('assert');

// One service whose methods are named by their shape; messages are raw bytes.
const bytes = { requestSerialize: (b) => b, requestDeserialize: (b) => b, responseSerialize: (b) => b, responseDeserialize: (b) => b };
const method = (name, requestStream, responseStream) => ({ path: `/smoke.Smoke/${name}`, requestStream, responseStream, ...bytes });
const service = {
  Unary: method('Unary', false, false),
  Down: method('Down', false, true),
  Up: method('Up', true, false),
  Both: method('Both', true, true),
};
let cancelled = 0;

function unary(call, answer) {
  const ask = call.request.toString();
  const metadata = new grpc.Metadata();
  if (ask === 'hang') return call.on('cancelled', () => cancelled++);
  if (ask === 'cancelled?') return answer(null, Buffer.from(String(cancelled)));
  if (ask.startsWith('fail ')) {
    metadata.set('x-detail-bin', Buffer.from([0, 255, 7]));
    return answer({ code: Number(ask.slice(5)), details: 'wanted: \u2603 100%', metadata });
  }
  const head = new grpc.Metadata();
  for (const value of call.metadata.get('x-echo')) head.add('x-echo', value);
  for (const value of call.metadata.get('x-echo-bin')) metadata.add('x-echo-bin', value);
  call.sendMetadata(head);
  return answer(null, call.request, metadata);
}

function serve(port) {
  const server = new grpc.Server({ 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 });
  server.addService(service, {
    Unary: unary,
    Down(call) {
      const count = Number(call.request.toString());
      for (let i = 0; i < count; i++) call.write(Buffer.from(`message ${i}`));
      call.end();
    },
    Up(call, answer) {
      let total = 0;
      call.on('data', (b) => { total += b.length; });
      call.on('end', () => answer(null, Buffer.from(String(total))));
    },
    Both(call) {
      call.on('data', (b) => call.write(b));
      call.on('end', () => call.end());
      call.on('cancelled', () => cancelled++);
    },
  });
  server.bindAsync(`127.0.0.1:${port}`, grpc.ServerCredentials.createInsecure(), (error) => { if (error) throw error; });
}

const ask = (client, text, metadata = new grpc.Metadata(), options = {}) => new Promise((resolve) => {
  const result = { head: null, trailers: null };
  const call = client.Unary(Buffer.from(text), metadata, options, (error, value) => { result.error = error; result.value = value; });
  call.on('metadata', (m) => { result.head = m; });
  call.on('status', (s) => { result.trailers = s.metadata; resolve(result); });
});
const collect = (call) => new Promise((resolve, reject) => {
  const got = [];
  call.on('data', (b) => got.push(b));
  call.on('end', () => resolve(got));
  call.on('error', reject);
});
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function untilCancelled(client, wanted) {
  for (let i = 0; i < 40; i++) {
    if (Number((await ask(client, 'cancelled?')).value) >= wanted) return;
    await sleep(50);
  }
  assert.fail('the backend saw no cancellation');
}

const cases = {
  async unary(c) { assert.equal((await ask(c, 'hello')).value.toString(), 'hello'); },
  async metadata(c) {
    const sent = new grpc.Metadata();
    sent.add('x-echo', 'one'); sent.add('x-echo', 'two');
    sent.add('x-echo-bin', Buffer.from([0, 1, 254, 255]));
    const got = await ask(c, 'hello', sent);
    assert.deepEqual(got.head.get('x-echo').join(', '), 'one, two');
    assert.deepEqual(got.trailers.get('x-echo-bin'), [Buffer.from([0, 1, 254, 255])]);
  },
  async server_stream(c) {
    const got = await collect(c.Down(Buffer.from('1000')));
    assert.equal(got.length, 1000);
    assert.equal(got[999].toString(), 'message 999');
  },
  async client_stream(c) {
    const total = await new Promise((resolve, reject) => {
      const call = c.Up((error, value) => (error ? reject(error) : resolve(value)));
      for (let i = 0; i < 200; i++) call.write(Buffer.alloc(1000));
      call.end();
    });
    assert.equal(Number(total), 200000);
  },
  async bidi_ping_pong(c) {
    const call = c.Both();
    let expected = 0;
    await new Promise((resolve, reject) => {
      call.on('data', (b) => {
        assert.equal(Number(b), expected++);
        expected < 100 ? call.write(Buffer.from(String(expected))) : call.end();
      });
      call.on('end', resolve); call.on('error', reject);
      call.write(Buffer.from('0'));
    });
    assert.equal(expected, 100);
  },
  async errors_every_code(c) {
    for (let code = 1; code <= 16; code++) {
      const { error } = await ask(c, `fail ${code}`);
      assert.equal(error.code, code);
      assert.equal(error.details, 'wanted: \u2603 100%');
      assert.deepEqual(error.metadata.get('x-detail-bin'), [Buffer.from([0, 255, 7])]);
    }
  },
  async deadline(c) {
    const { error } = await ask(c, 'hang', undefined, { deadline: Date.now() + 300 });
    assert.equal(error.code, grpc.status.DEADLINE_EXCEEDED);
    await untilCancelled(c, 1);
  },
  async cancel_unary(c) {
    const before = Number((await ask(c, 'cancelled?')).value);
    const error = await new Promise((resolve) => {
      const call = c.Unary(Buffer.from('hang'), resolve);
      setTimeout(() => call.cancel(), 100);
    });
    assert.equal(error.code, grpc.status.CANCELLED);
    await untilCancelled(c, before + 1);
  },
  async cancel_bidi_with_open_request(c) {
    const before = Number((await ask(c, 'cancelled?')).value);
    const call = c.Both();
    const code = await new Promise((resolve) => {
      call.on('error', (e) => resolve(e.code));
      call.once('data', () => call.cancel());
      call.write(Buffer.from('x'));
    });
    assert.equal(code, grpc.status.CANCELLED);
    await untilCancelled(c, before + 1);
  },
  async large_message_both_ways(c) {
    const big = Buffer.alloc(16 * 1024 * 1024, 7);
    const value = await new Promise((resolve, reject) => c.Unary(big, (error, v) => (error ? reject(error) : resolve(v))));
    assert.ok(value.equals(big));
  },
  async hundred_at_once(c) {
    const all = await Promise.all(Array.from({ length: 100 }, (_, i) => ask(c, `call ${i}`)));
    all.forEach((r, i) => assert.equal(r.value.toString(), `call ${i}`));
  },
};

async function drive(target, ca) {
  const credentials = ca ? grpc.credentials.createSsl(fs.readFileSync(ca)) : grpc.credentials.createInsecure();
  const Client = grpc.makeGenericClientConstructor(service, 'Smoke');
  const client = new Client(target, credentials, { 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 });
  for (const [name, run] of Object.entries(cases)) {
    try {
      await Promise.race([run(client), sleep(15000).then(() => assert.fail('no end within 15 s'))]);
      console.log(`passed ${name}`);
    } catch (error) {
      console.log(`failed ${name}: ${String(error.message).split('\n')[0]}`);
    }
  }
  process.exit(0);
}

process.argv[2] === 'server' ? serve(Number(process.argv[3])) : drive(process.argv[3], process.argv[4]);
