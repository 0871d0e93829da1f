// What was proved. `declarationsOf` runs where a submission was elaborated and only reads; `judge` runs in a
// process that never elaborates a submission: there Lean's kernel checks every declaration again, and then
// that the submission's theorem has the statement's type.
'use strict';
const { Exporter, Importer } = require('./terms.js');

const STANDARD = new Set(['propext', 'Classical.choice', 'Quot.sound']);
// Library constants through which a proof may rest on more than the three; the slim library does not show it.
const FORBIDDEN = new Set([
  'sorryAx', 'Lean.ofReduceBool', 'Lean.ofReduceNat', 'Lean.trustCompiler', 'Lean.reduceBool', 'Lean.reduceNat',
  'lcProof', 'lcUnreachable', 'lcAny', 'unsafeCast', 'Lean.Grind.unsafeCast',
]);
const KERNEL_HEARTBEATS = 200000000;
const STATEMENTS_KEPT = 512;
// Kernel exceptions that say nothing about the proof.
const LIMITS = { 13: 'kernel time', 14: 'kernel memory', 15: 'kernel recursion depth', 16: 'interrupted' };
const REFUSALS = {
  0: 'an unknown constant', 1: 'a constant declared twice', 2: 'a declaration that has another type',
  3: 'metavariables', 4: 'free variables', 5: 'a term that is no function', 6: 'a term that is no type',
  7: 'a let of another type', 8: 'a term of another type', 9: 'an argument of another type',
  10: 'an invalid projection', 11: 'a theorem that is no proposition', 12: 'a declaration that the kernel refuses',
};

const kernelEnv = (L, env) => L.fn('lean_elab_environment_to_kernel_env')(L.inc(env));

function contains(L, kenv, name) {
  const option = L.fn('lean_environment_find')(L.inc(kenv), L.inc(name));
  if (L.isBox(option)) return false;
  L.dec(option);
  return true;
}

// The constant `text` as an elaborated file holds it: this build makes top-level names private to the file.
function resolve(L, env, kenv, text) {
  const plain = L.name(text);
  const hidden = L.fn('l_Lean_mkPrivateName')(env, L.inc(plain));
  return [plain, hidden].find((name) => contains(L, kenv, name));
}

// `{name, names, levels, exprs, decls}`: the constant `text` of `env` with all that it rests on; null where
// there is none.
function declarationsOf(L, base, env, text) {
  const kenv = kernelEnv(L, env);
  const name = resolve(L, env, kenv, text);
  if (!name || contains(L, base, name)) return null;
  const exporter = new Exporter(L, kenv, (n) => contains(L, base, n));
  const index = exporter.name(name);
  exporter.used.add(index);
  const data = exporter.closure();
  exporter.close();
  L.dec(kenv);
  return { name: index, ...data };
}

class Judge {
  constructor(L, env, elaborate) {
    Object.assign(this, { L, elaborate, base: kernelEnv(L, env), statements: new Map() });
  }

  // {verdict: 'proved' | 'refused' | 'undecided', reason, axioms}
  judge({ statement, target, proof }) {
    const known = this.statement(statement, target);
    if (known.error) return { verdict: 'undecided', reason: 'the statement does not elaborate', detail: known.error };
    if (!proof) return refused(`no theorem ${target}`);
    const data = JSON.parse(Buffer.from(proof, 'base64').toString('utf8'));
    const { L } = this;
    const importer = new Importer(L, data);
    const axioms = new Set();
    let env = L.inc(known.env);
    try {
      const texts = new Map();
      const text = (i) => {
        if (!texts.has(i)) texts.set(i, this.nameText(importer.name(i)));
        return texts.get(i);
      };
      for (const [tag, name] of data.exprs) {
        if (tag !== 4) continue;
        const used = text(name);
        if (FORBIDDEN.has(used)) return refused(`rests on ${used}`);
        if (STANDARD.has(used)) axioms.add(used);
      }
      for (const decl of data.decls) {
        const named = decl.kind === 'induct' ? decl.types[0].name : decl.name;
        if (decl.kind !== 'induct' && contains(L, env, importer.names[named])) continue;
        if (decl.kind === 'axiom') return refused(`rests on the axiom ${text(named)}`);
        if (decl.safe === false) return refused(`rests on the unsafe ${text(named)}`);
        const added = this.add(env, importer.declaration(decl));
        if (!added.env) return { ...added, detail: text(named) };
        L.dec(env);
        env = added.env;
      }
      const added = this.add(env, this.final(known, importer.name(data.name)));
      if (!added.env) {
        return added.verdict === 'undecided' ? added : refused('the target has another type than the statement');
      }
      L.dec(added.env);
      return { verdict: 'proved', reason: '', axioms: [...axioms].sort() };
    } finally {
      L.dec(env);
      importer.close();
    }
  }

  nameText(o) {
    const text = this.L.fn('l_Lean_Name_toString')(this.L.fn('l_Lean_privateToUserName')(o), 0);
    const s = this.L.text(text);
    this.L.dec(text);
    return s;
  }

  // A theorem of the statement's own type whose proof is the submission's constant.
  final({ params, type }, constant) {
    const { L } = this;
    const list = () => L.list(L.items(params).map((p) => L.inc(p)));
    const levels = L.list(L.items(params).map((p) => L.fn('lean_level_mk_param')(L.inc(p))));
    const value = L.fn('lean_expr_mk_const')(constant, levels);
    const name = L.name('_cotmill.target');
    const head = L.ctor(0, [L.inc(name), list(), L.inc(type)]);
    return L.ctor(2, [L.ctor(0, [head, value, L.list([name])])]);
  }

  add(env, decl) {
    const { L } = this;
    const result = L.fn('lean_add_decl')(L.inc(env), KERNEL_HEARTBEATS, decl, L.box(0));
    L.dec(decl);
    const value = L.inc(L.field(result, 0));
    const tag = L.tag(result);
    L.dec(result);
    if (tag === 1) return { env: value };
    const kind = L.tag(value);
    L.dec(value);
    if (LIMITS[kind]) return { verdict: 'undecided', reason: `limit: ${LIMITS[kind]}` };
    return refused(`the kernel finds ${REFUSALS[kind] || 'a fault'}`);
  }

  // The statement's type, and the base with what the statement itself declares (matchers, for instance).
  statement(text, target) {
    const key = JSON.stringify([text, target]);
    let known = this.statements.get(key);
    if (!known) {
      known = this.read(text, target);
      if (this.statements.size >= STATEMENTS_KEPT) this.drop(this.statements.keys().next().value);
    } else this.statements.delete(key);
    this.statements.set(key, known);
    return known;
  }

  drop(key) {
    const known = this.statements.get(key);
    this.statements.delete(key);
    if (!known.error) [known.env, known.type, known.params].forEach((o) => this.L.dec(o));
  }

  read(text, target) {
    const { L } = this;
    const { env, messages } = this.elaborate(`${text} := by\n  sorry\n`);
    const kenv = kernelEnv(L, env);
    const fault = messages.find((m) => m.severity === 'error');
    const name = fault ? 0 : resolve(L, env, kenv, target);
    const info = name && !contains(L, this.base, name) ? L.fn('lean_environment_find')(L.inc(kenv), L.inc(name)) : 0;
    try {
      if (!info || L.tag(L.field(info, 0)) !== 2) return { error: fault ? fault.data : `it declares no theorem ${target}` };
      const head = L.field(L.field(L.field(info, 0), 0), 0);
      const exporter = new Exporter(L, kenv, (n) => contains(L, this.base, n));
      exporter.term(L.field(head, 2));
      const data = exporter.closure();
      exporter.close();
      const importer = new Importer(L, data);
      let base = L.inc(this.base);
      for (const decl of data.decls) {
        const added = this.add(base, importer.declaration(decl));
        if (!added.env) return { error: added.reason };
        L.dec(base);
        base = added.env;
      }
      importer.close();
      return { env: base, type: L.inc(L.field(head, 2)), params: L.inc(L.field(head, 1)) };
    } finally {
      if (info) L.dec(info);
      L.dec(kenv);
      L.dec(env);
    }
  }
}

const refused = (reason) => ({ verdict: 'refused', reason });

module.exports = { Judge, contains, declarationsOf, kernelEnv };
