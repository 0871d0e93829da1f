// Machine code of Lean, kept from one process for the next: V8 gives out what its optimizing compiler has made of a
// module (`--allow-natives-syntax`), and takes it back where version, flags and processor are the same.
'use strict';
const crypto = require('crypto');
const fs = require('fs');
const path = require('path');

const DIGEST_BYTES = 32;

const digest = (bytes) => crypto.createHash('sha256').update(bytes).digest();
// Without the flag this is no JavaScript.
const native = (code) => new Function('a', 'b', `return %${code}`);

// {compiled, restored}: the module of `folder`, and whether it has the code that was kept in `file`.
function compile(folder, file) {
  const wasm = fs.readFileSync(path.join(folder, 'lean-slim.wasm'));
  const compiled = restored(file, wasm);
  return { compiled: compiled || new WebAssembly.Module(wasm), restored: compiled !== undefined };
}

function restored(file, wasm) {
  if (!fs.existsSync(file)) return undefined;
  const kept = fs.readFileSync(file);
  const code = kept.subarray(0, -DIGEST_BYTES);
  if (!digest(code).equals(kept.subarray(-DIGEST_BYTES))) return undefined;
  const copy = code.buffer.slice(code.byteOffset, code.byteOffset + code.length);
  try {
    return native('DeserializeWasmModule(a, b)')(copy, wasm);
  } catch (e) {
    if (e instanceof SyntaxError) return undefined;
    throw e;
  }
}

// Keep what was compiled of a module so far. The file appears whole or not at all.
function keep(compiled, file) {
  const code = Buffer.from(native('SerializeWasmModule(a)')(compiled));
  const part = `${file}.${process.pid}`;
  fs.writeFileSync(part, Buffer.concat([code, digest(code)]));
  fs.renameSync(part, file);
  return code.length;
}

module.exports = { compile, keep };
