// Lean searches the instance of a class anew in each declaration: `Decidable` for the propositions of `omega`'s
// certificates, a millisecond each, `OfNat Nat 2` for a numeral. Here what was found is kept.
'use strict';

// synthInstanceCore? type maxResultSize? and the contexts and states of Meta and Core, as a closure calls it: it owns
// its arguments, and returns an `EIO` result.
const SYNTHESIZE = 'l_Lean_Meta_synthInstanceCore_x3f___boxed';
// Fields of `Meta.Context`; Lean's own cache asks for the first two.
const LOCAL_INSTANCES = 3, PENDING_DEPTH = 5, CAN_UNFOLD = 6;
// isExprDefEq of two terms, in the same way; the result is a `Bool`.
const UNIFY = 'l_Lean_Meta_isExprDefEq___boxed';
// The search cannot go on before more is known of a metavariable: an exception, the same object each time.
const STUCK = 'l_Lean_Meta_isDefEqStuckExceptionId';
const TYPE_OF = 2; // a field of `MetavarDecl`
const METAVARIABLE = 2, SORT = 3, CONST = 4, APP = 5, LAMBDA = 6, FORALL = 7, LITERAL = 9, BOUND = 0;
// After its fields a term has 64 bits: hash 32, depth 8, a free variable 1, metavariables 1 + 1, universe parameters 1,
// loose bound variables 20.
const FLAGS = 4, METAVARIABLES = 0x600, OPEN = 0xfffff00;
const MAX_NODES = 400, MAX_KEPT = 10000;
// What changes the search for instances within one theorem.
const CHANGES = /@\[|\b(attribute|classical|eval|instance|local|open|run_\w+|scoped|seal|set_option|unseal)\b|by_elab/;
// (module (import "e" "f" (func (param i32 …) (result i32))) (export "f" (func 0))): a table takes no plain function.
const DOOR = Uint8Array.from([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 12, 1, 96, 7, 127, 127, 127, 127, 127, 127, 127, 1, 127,
  2, 7, 1, 1, 101, 1, 102, 0, 0, 7, 5, 1, 1, 102, 0, 0,
]);

// What the library's instances answer: as long as `use(true)` holds, in this thread. Whoever says so sees to it that the
// environment has no other instances and options than the library's. Lean's own cache has the same key (type, local
// instances, pending depth) and is thrown away after each declaration. Kept are answers for closed types, for operators
// whose result type follows from the operands', and that nothing can be said yet (`OfNat ?α 2`). `isLibrary` tells a name.
function keepInstances(L, isLibrary) {
  const { sym, table } = L.M.LEAN;
  const slot = sym(SYNTHESIZE);
  const synthesize = table().get(slot);
  const none = L.box(0);
  const kept = new Map(); // text of a question -> [{terms, type, found} or {terms, stuck}, …]
  let count = 0, depth = 0, inUse = false;

  const scalars = (o) => o + 8 + 4 * L.u8(o + 6); // they follow the fields
  const flags = (term) => L.u32(scalars(term) + FLAGS);
  const closed = (term) => (flags(term) & OPEN) === 0;

  // Whether a term is short and names constants of the library alone.
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

  // The type with what its metavariables stand for; gives `type` away.
  function instantiated(type, state) {
    const meta = L.fn('lean_st_ref_get')(state);
    const pair = L.fn('lean_instantiate_expr_mvars')(L.inc(L.field(meta, 0)), type);
    const result = L.inc(L.field(pair, 1));
    [pair, meta].forEach(L.dec);
    return result;
  }

  // On what the answer for `type` depends, null where that is not known: {text, terms, unknown}. `terms` are closed:
  // the type itself, or the arguments of a class that are not metavariables (`unknown`). `text` holds their hashes.
  function question(type) {
    const hash = (term) => L.u32(scalars(term));
    if (closed(type)) return { text: `${hash(type)}`, terms: [type], unknown: [] };
    const terms = [], unknown = [];
    let text = '', head = type;
    for (; L.tag(head) === APP; head = L.field(head, 0)) {
      const argument = L.field(head, 1);
      if (L.tag(argument) === METAVARIABLE) {
        const id = L.field(argument, 0);
        const before = unknown.findIndex((other) => L.fn('lean_name_eq')(other, id));
        text += ` ?${before < 0 ? unknown.push(id) - 1 : before}`;
      } else if (closed(argument)) text += ` ${hash(argument)}:${terms.push(argument)}`;
      else return null;
    }
    const name = L.tag(head) === CONST ? L.field(head, 0) : L.box(0);
    if (L.isBox(name) || !L.isBox(L.field(name, 0))) return null;
    return { text: `${L.text(L.field(name, 1))}${text}`, terms, unknown };
  }

  const known = ({ text, terms }) =>
    kept.get(text)?.find((one) => one.terms.every((term, i) => L.fn('lean_expr_eqv')(term, terms[i])));

  // Whether the metavariables stand for types, and so never for instances that are still looked for.
  function forTypes(ids, state) {
    const meta = L.fn('lean_st_ref_get')(state);
    const all = ids.every((id) => {
      const option = L.fn('l_Lean_MetavarContext_findDecl_x3f___boxed')(L.inc(L.field(meta, 0)), L.inc(id));
      if (L.isBox(option)) return false;
      const is = L.tag(L.field(L.field(option, 0), TYPE_OF)) === SORT;
      L.dec(option);
      return is;
    });
    L.dec(meta);
    return all;
  }

  // The result for `type` by what was known, or 0.
  function reply(type, one, asked, states) {
    if (one.stuck) return forTypes(asked.unknown, states[1]) ? L.ctor(1, [L.inc(one.stuck)]) : 0;
    if (!closed(type)) {
      const result = L.fn(UNIFY)(L.inc(type), L.inc(one.type), ...states.map(L.inc));
      const same = L.tag(result) === 0 && L.field(result, 0) === L.box(1);
      L.dec(result);
      if (!same) return 0;
    }
    return L.ctor(0, [L.inc(one.found)]);
  }

  // `solved`: the type after the search, which may have found what its metavariables stand for.
  function remember({ text, terms, unknown }, solved, result, state) {
    if (count >= MAX_KEPT) return;
    const answered = L.field(result, 0);
    let one;
    if (L.tag(result) === 1) {
      const stuck = L.tag(answered) === 1 && L.count(answered) === 0 && L.field(answered, 0) === L.u32(sym(STUCK));
      if (stuck && forTypes(unknown, state) && terms.every(ofLibrary)) one = { stuck: answered };
    } else if (!L.isBox(answered) && [solved, L.field(answered, 0)].every((term) => closed(term) && ofLibrary(term))) {
      one = { type: L.inc(solved), found: L.inc(answered) };
    }
    if (!one) return;
    if (!kept.has(text)) kept.set(text, []);
    kept.get(text).push({ terms: terms.map(L.inc), ...one });
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

  function answer(type, limit, ...states) {
    const context = (i) => L.field(states[0], i);
    const plain = inUse && depth === 0 && limit === none && L.u32(context(LOCAL_INSTANCES) + 8) === 0
      && context(PENDING_DEPTH) === L.box(0) && context(CAN_UNFOLD) === none;
    if (!plain) return search(type, limit, ...states);
    if (flags(type) & METAVARIABLES) type = instantiated(type, states[1]);
    const asked = question(type);
    if (!asked) return search(type, limit, ...states);
    const one = known(asked);
    const ready = one ? reply(type, one, asked, states) : 0;
    if (ready) {
      [type, ...states].forEach(L.dec);
      return ready;
    }
    const state = L.inc(states[1]);
    const result = search(L.inc(type), limit, ...states);
    if (!one) {
      const solved = instantiated(L.inc(type), state);
      remember(asked, solved, result, state);
      L.dec(solved);
    }
    [type, state].forEach(L.dec);
    return result;
  }

  const door = new WebAssembly.Instance(new WebAssembly.Module(DOOR), { e: { f: answer } });
  table().set(slot, door.exports.f);
  return { use: (on) => (inUse = on), changes: (code) => CHANGES.test(code) };
}

module.exports = { keepInstances };
