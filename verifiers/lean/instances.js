// Lean searches the instance of a class anew in each declaration: `Decidable` for the propositions of `omega`'s
// certificates, a millisecond each, `OfNat Nat 2` for a numeral. Here what was found is kept.
'use strict';

// synthInstanceCore? type maxResultSize? and the contexts and states of Meta and Core, as a closure calls it: it owns
// its arguments, and returns an `EIO` result.
const SYNTHESIZE = 'l_Lean_Meta_synthInstanceCore_x3f___boxed';
// Fields of `Meta.Context`; Lean's own cache asks for the first two.
const LOCAL_INSTANCES = 3, PENDING_DEPTH = 5, CAN_UNFOLD = 6;
const SORT = 3, CONST = 4, APP = 5, LAMBDA = 6, FORALL = 7, LITERAL = 9, BOUND = 0;
// A constant or an application has two fields, then 64 bits: hash 32, depth 8, a free variable 1, metavariables 1 + 1,
// universe parameters 1, loose bound variables 20.
const HASH = 16, FLAGS = 20, METAVARIABLES = 0x600, OPEN = 0xfffff00;
const MAX_NODES = 400, MAX_KEPT = 10000;
// What changes the search for instances within one theorem.
const CHANGES = /@\[|\b(attribute|classical|eval|instance|local|open|run_\w+|scoped|seal|set_option|unseal)\b|by_elab/;
// (module (import "e" "f" (func (param i32 …) (result i32))) (export "f" (func 0))): a table takes no plain function.
const DOOR = Uint8Array.from([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 12, 1, 96, 7, 127, 127, 127, 127, 127, 127, 127, 1, 127,
  2, 7, 1, 1, 101, 1, 102, 0, 0, 7, 5, 1, 1, 102, 0, 0,
]);

// What the library's instances answer for closed types: as long as `use(true)` holds, in this thread. Whoever says so
// sees to it that the environment has no other instances and options than the library's. Lean's own cache has the same
// key (type, local instances, pending depth) and is thrown away after each declaration. `isLibrary` tells a name.
function keepInstances(L, isLibrary) {
  const { sym, table } = L.M.LEAN;
  const slot = sym(SYNTHESIZE);
  const synthesize = table().get(slot);
  const none = L.box(0);
  const kept = new Map(); // hash -> [type, found, type, found, …]
  let count = 0, depth = 0, inUse = false;

  // Whether a term is short, closed, and names constants of the library alone.
  function ofLibrary(term) {
    const seen = new Set([term]);
    for (const o of seen) {
      if (seen.size > MAX_NODES) return false;
      switch (L.tag(o)) {
        case CONST:
          if (!isLibrary(L.field(o, 0))) return false;
          break;
        case APP:
          seen.add(L.field(o, 0)).add(L.field(o, 1));
          break;
        case LAMBDA:
        case FORALL:
          seen.add(L.field(o, 1)).add(L.field(o, 2));
          break;
        case BOUND:
        case SORT:
        case LITERAL:
          break;
        default:
          return false;
      }
    }
    return true;
  }

  const flags = (type) => (L.tag(type) === APP || L.tag(type) === CONST ? L.u32(type + FLAGS) : OPEN);

  // The type with what its metavariables stand for; gives `type` away.
  function instantiated(type, state) {
    const meta = L.fn('lean_st_ref_get')(state);
    const pair = L.fn('lean_instantiate_expr_mvars')(L.inc(L.field(meta, 0)), type);
    const result = L.inc(L.field(pair, 1));
    [pair, meta].forEach(L.dec);
    return result;
  }

  function known(type) {
    const same = kept.get(L.u32(type + HASH)) || [];
    for (let i = 0; i < same.length; i += 2) if (L.fn('lean_expr_eqv')(same[i], type)) return same[i + 1];
    return 0;
  }

  function remember(type, result) {
    if (count >= MAX_KEPT || L.tag(result) !== 0) return;
    const found = L.field(result, 0);
    if (L.isBox(found) || flags(L.field(found, 0)) & OPEN || !ofLibrary(type) || !ofLibrary(L.field(found, 0))) return;
    const hash = L.u32(type + HASH);
    if (!kept.has(hash)) kept.set(hash, []);
    kept.get(hash).push(L.inc(type), L.inc(found));
    count++;
  }

  function search(...all) {
    depth++;
    try {
      return synthesize(...all);
    } finally {
      depth--;
    }
  }

  function answer(type, limit, context, ...states) {
    const field = (i) => L.field(context, i);
    const plain = inUse && depth === 0 && limit === none && L.u32(field(LOCAL_INSTANCES) + 8) === 0
      && field(PENDING_DEPTH) === L.box(0) && field(CAN_UNFOLD) === none;
    if (plain && flags(type) & METAVARIABLES) type = instantiated(type, states[0]);
    if (!plain || flags(type) & OPEN) return search(type, limit, context, ...states);
    const found = known(type);
    if (found) {
      [type, context, ...states].forEach(L.dec);
      return L.ctor(0, [L.inc(found)]);
    }
    L.inc(type);
    const result = search(type, limit, context, ...states);
    remember(type, result);
    L.dec(type);
    return result;
  }

  const door = new WebAssembly.Instance(new WebAssembly.Module(DOOR), { e: { f: answer } });
  table().set(slot, door.exports.f);
  return { use: (on) => (inUse = on), changes: (code) => CHANGES.test(code) };
}

module.exports = { keepInstances };
