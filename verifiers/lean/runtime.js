// Loads the slim WebAssembly Lean and gives typed access to its objects and compiled functions.
// Object layout, 32 bit: reference count i32 @0, tag u8 @7; constructor fields @8 + 4i, scalars after them;
// array size @8, data @16; string size in bytes @8 (with the final 0), data @20. A small number n is 2n + 1.
'use strict';
const path = require('path');

const STACK_BYTES = 64 << 20;
const WORKERS = 1;

// What is refused in an orderly way. After any other exception the heap can no longer be trusted.
class Refusal extends Error {}

// `compiled`: the WebAssembly module of `folder`.
function load(folder, compiled, ready) {
  const M = {
    noInitialRun: true,
    noExitRuntime: true,
    thisProgram: '/lean/bin/lean',
    print() {},
    printErr() {},
    preRun: [
      () => {
        M.FS.mkdirTree('/lean/lib/lean');
        M.FS.mkdirTree('/lean/bin');
        M.FS.mount(M.FS.filesystems.NODEFS, { root: path.join(folder, 'lib') }, '/lean/lib/lean');
        M.ENV.LEAN_PATH = '/lean/lib/lean';
        M.ENV.LEAN_SYSROOT = '/lean';
      },
    ],
    instantiateWasm(imports, receive) {
      receive(new WebAssembly.Instance(compiled, imports), compiled);
      return {};
    },
    onRuntimeInitialized() {
      try {
        ready(bind(M));
      } catch (e) {
        process.stderr.write(`${(e && e.stack) || e}\n`);
        process.exit(70);
      }
    },
    onAbort() {
      process.exit(71);
    },
  };
  console.log = console.error = () => {}; // this build prints its own debugging
  globalThis.LEAN_MODULE = M;
  require(path.join(folder, 'lean-slim.js'));
}

function bind(M) {
  const X = M.LEAN;
  const cache = new Map();
  // Memory is shared and only grows: an older view stays right and only ends too early.
  let words = X.u32();
  let bytes = X.u8();
  let counts = X.i32();
  const L = {
    M,
    box: (n) => (n << 1) | 1,
    u32: (p) => words[p >>> 2] ?? (words = X.u32())[p >>> 2],
    u8: (p) => bytes[p] ?? (bytes = X.u8())[p],
    setU32(p, value) {
      if (p >>> 2 >= words.length) words = X.u32();
      words[p >>> 2] = value;
    },
    heapBytes: () => X.u8().length,
    fn(name) {
      let found = cache.get(name);
      if (!found) {
        const slot = X.sym(name);
        if (!slot) throw new Refusal(`this build of Lean has no ${name}`);
        cache.set(name, (found = X.table().get(slot)));
      }
      return found;
    },
    isBox: (o) => (o & 1) === 1,
    tag: (o) => (o & 1 ? o >>> 1 : L.u8(o + 7)),
    field: (o, i) => L.u32(o + 8 + 4 * i),
    // For an object that nobody else holds; takes over `value`, leaves the field's old object to the caller.
    setField: (o, i, value) => L.setU32(o + 8 + 4 * i, value),
    // The reference count: 0 where the object is never freed, below 0 where threads share it.
    count: (o) => counts[o >>> 2] ?? (counts = X.i32())[o >>> 2],
    inc(o) {
      if (o & 1) return o;
      const count = L.count(o);
      if (count > 0) counts[o >>> 2] = count + 1;
      else if (count < 0) Atomics.sub(counts, o >>> 2, 1);
      return o;
    },
    dec(o) {
      if (o & 1) return;
      const count = L.count(o);
      if (count > 1) counts[o >>> 2] = count - 1;
      else if (count !== 0) L.fn('lean_dec_ref_cold')(o);
    },
    string(s) {
      const bytes = Buffer.from(s, 'utf8');
      const p = X.malloc(bytes.length + 1);
      const heap = X.u8();
      heap.set(bytes, p);
      heap[p + bytes.length] = 0;
      const o = L.fn('lean_mk_string_from_bytes')(p, bytes.length);
      X.free(p);
      return o;
    },
    // The default of a `Lean.Option`: an object whose second field it is.
    setDefault(option, value) {
      L.setU32(L.u32(X.sym(option)) + 12, L.box(value));
    },
    text: (o) => Buffer.from(X.u8().slice(o + 20, o + 19 + L.u32(o + 8))).toString('utf8'),
    // A constructor object: takes over `fields`; `scalars` are [byte offset after the fields, u8] pairs.
    ctor(tag, fields, scalarBytes = 0, scalars = []) {
      const p = X.malloc(4 * fields.length + 8);
      fields.forEach((f, i) => L.setU32(p + 4 + 4 * i, f));
      L.fn('_ZN4lean8mk_cnstrEjjPP11lean_objectj')(p, tag, fields.length, p + 4, scalarBytes);
      const o = L.u32(p);
      X.free(p);
      for (const [at, value] of scalars) X.u8()[o + 8 + 4 * fields.length + at] = value;
      return o;
    },
    list: (items) => items.reduceRight((tail, head) => L.ctor(1, [head, tail]), L.box(0)),
    items(list) {
      const out = [];
      for (let at = list; !L.isBox(at); at = L.field(at, 1)) out.push(L.field(at, 0));
      return out;
    },
    io(result) {
      if (L.tag(result) === 1) {
        throw new Refusal(L.text(L.fn('lean_io_error_to_string')(L.field(result, 0))));
      }
      const value = L.inc(L.field(result, 0));
      L.dec(result);
      return value;
    },
    name: (s) => L.fn('l_String_toName')(L.string(s)),
  };
  start(L, X);
  return L;
}

// What Lean's own `main` does before it reads a file, on a stack that deep terms need.
function start(L, X) {
  const low = X.malloc(STACK_BYTES);
  const high = (low + STACK_BYTES) & ~63;
  L.fn('emscripten_stack_set_limits')(high, low);
  L.fn('_emscripten_stack_restore')(high);
  L.fn('_ZN4lean11initializerC1Ev')(X.malloc(64));
  L.io(L.fn('l_Lean_initSearchPath')(L.string('/lean'), L.box(0)));
  L.fn('lean_enable_initializer_execution')();
  L.fn('lean_io_mark_end_initialization')();
  L.fn('_ZN4lean19scoped_task_managerC1Ej')(X.malloc(64), WORKERS);
}

// The environment after `header`'s imports. No file of this machine can be reached afterwards.
function importAll(L, header) {
  const none = L.box(0);
  const empty = () => L.fn('lean_array_mk')(none);
  const result = L.fn('l_Lean_Elab_runFrontend')(
    L.string(header), none, L.string('Cotmill.lean'), L.name('Cotmill'), 0, none, none, 0, empty(), empty(), 0, none,
  );
  const option = L.io(result);
  if (option === none) throw new Error(`cannot import: ${header}`);
  const env = L.inc(L.field(option, 0));
  L.fn('lean_mark_persistent')(env);
  L.M.FS.unmount('/lean/lib/lean');
  return env;
}

module.exports = { load, importAll, Refusal };
