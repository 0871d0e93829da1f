// One Lean process: JSON lines on stdin, one JSON line each on stdout.
//   node repl.js BUILD_FOLDER HEADER [CODE_FILE]
// {op: "elaborate", code, options, target?} -> {messages, proof}: `proof` (base64) is what `judge` takes.
// {op: "judge", statement, target, proof} -> {verdict, reason, axioms}.
// {op: "keep"} -> {bytes}: later processes start with the machine code that this one has.
// Every reply has `id` and `heap_mb`; `error` where the request could not be served.
'use strict';
const fs = require('fs');
const path = require('path');
const readline = require('readline');
const { load, importAll, Refusal } = require('./runtime.js');
const { compile, keep } = require('./compiled.js');
const frontend = require('./frontend.js');
const { keepInstances } = require('./instances.js');
const { Judge, contains, declarationsOf, kernelEnv } = require('./judge.js');
const { keepCopies } = require('./universes.js');

const MAX_MESSAGES = 200;
const MAX_TEXT = 1 << 20;

const folder = path.resolve(process.argv[2]);
const codeFile = process.argv[4] || '';
const { compiled, restored } = compile(folder, codeFile);

load(folder, compiled, (L) => {
  const env0 = importAll(L, process.argv[3] || '');
  const base = kernelEnv(L, env0);
  keepCopies(L);
  const instances = keepInstances(L, (name) => contains(L, base, name));
  const none = L.box(0);
  // Every check whether something is traced is slow while any option is set, so what all requests share is
  // the default here: linters are off, nothing is kept for an editor, and the judge's kernel checks what this one
  // would.
  L.setDefault('l_Lean_debug_skipKernelTC', 1);
  L.setDefault('l_Lean_internal_cmdlineSnapshots', 1);
  L.fn('lean_st_ref_set')(L.u32(L.M.LEAN.sym('l_Lean_Elab_Command_lintersRef')), L.fn('lean_array_mk')(none));

  function options(values) {
    let map = none;
    for (const [key, value] of Object.entries(values || {})) {
      if (typeof value === 'boolean') map = L.fn('l_Lean_KVMap_setBool')(map, L.name(key), value ? 1 : 0);
      else map = L.fn('l_Lean_KVMap_setNat')(map, L.name(key), L.box(value));
    }
    return map;
  }

  // The caller owns `env`.
  function elaborate(code, values, instances) {
    const run = values && values['trace.Elab.info'] ? frontend.elaborateWithInfo : frontend.elaborate;
    const { env, logs } = run(L, L.inc(env0), options(values), code, instances);
    const messages = [];
    let room = MAX_TEXT;
    for (const log of logs) {
      const array = L.fn('l_Lean_MessageLog_toArray')(log);
      const count = L.u32(array + 8);
      for (let i = 0; i < count && messages.length < MAX_MESSAGES && room > 0; i++) {
        const json = L.fn('l_Lean_Message_toJson')(L.inc(L.u32(array + 16 + 4 * i)));
        const text = L.fn('l_Lean_Json_compress')(json);
        const { severity, kind, pos, data } = JSON.parse(L.text(text));
        L.dec(text);
        messages.push({ severity, kind, pos, data: data.slice(0, room) });
        room -= data.length;
      }
      L.dec(array);
      L.dec(log);
    }
    return { env, messages };
  }

  const judge = new Judge(L, env0, (code) => elaborate(code));
  const serve = {
    elaborate({ code, options: values, target }) {
      const { env, messages } = elaborate(code, values, instances);
      try {
        const proof = target ? declarationsOf(L, base, env, target) : null;
        return { messages, proof: proof && Buffer.from(JSON.stringify(proof)).toString('base64') };
      } finally {
        L.dec(env);
      }
    },
    judge: (request) => judge.judge(request),
    keep: () => ({ bytes: keep(compiled, codeFile) }),
  };

  function write(reply) {
    const bytes = Buffer.from(`${JSON.stringify({ ...reply, heap_mb: L.heapBytes() >> 20 })}\n`);
    for (let at = 0; at < bytes.length; ) {
      try {
        at += fs.writeSync(1, bytes, at);
      } catch (e) {
        if (e.code !== 'EAGAIN') throw e;
      }
    }
  }

  write({ ready: true, restored });
  readline.createInterface({ input: process.stdin }).on('line', (line) => {
    const request = JSON.parse(line);
    let reply;
    try {
      reply = serve[request.op](request);
    } catch (e) {
      // A thread that ended on its own way (exit, a full stack) leaves a process in which the next request waits
      // for ever.
      if (!(e instanceof Refusal)) process.exit(72);
      reply = { error: e.message };
    }
    write({ id: request.id, ...reply });
  }).on('close', () => process.exit(0));
});
