// Declarations as plain data, and back: what leaves the process that ran a submission, and what the kernel
// of another process checks. Names, levels and expressions are tables; an entry refers to earlier entries, and no
// two are equal, so that the kernel meets equal terms as one object.
'use strict';
const { Refusal } = require('./runtime.js');

const KINDS = ['axiom', 'def', 'thm', 'opaque', 'quot', 'induct', 'ctor', 'rec'];
const BVAR = 0, FVAR = 1, MVAR = 2, SORT = 3, CONST = 4, APP = 5, LAM = 6, PI = 7, LET = 8, LIT = 9, MDATA = 10, PROJ = 11;
const NONE = [];
const CHILDREN = [NONE, NONE, NONE, NONE, NONE, [0, 1], [1, 2], [1, 2], [1, 2, 3], NONE, [1], [2]];
const MAX_NODES = 1 << 22;

class Exporter {
  constructor(L, kernelEnv, isBase) {
    Object.assign(this, { L, env: kernelEnv, isBase });
    this.out = { names: [], levels: [], exprs: [], decls: [] };
    this.memo = { names: new Map(), levels: new Map(), exprs: new Map() };
    this.interned = { names: new Map(), levels: new Map(), exprs: new Map() };
    this.objects = [];
    this.used = new Set();
    this.seen = new Set();
    this.infos = [];
  }

  nat(o) {
    if (this.L.isBox(o)) return String(o >>> 1);
    return this.L.text(this.L.fn('l_Nat_reprFast')(this.L.inc(o)));
  }

  // The index of `entry`, the same for equal ones. A text stands last, so the joined parts tell entries apart.
  entry(table, entry, key = entry.join()) {
    let index = this.interned[table].get(key);
    if (index === undefined) {
      index = this.out[table].push(entry) - 1;
      this.interned[table].set(key, index);
    }
    return index;
  }

  // Index of a name, -1 for the anonymous one. Equal names have equal indices.
  name(o) {
    const { L } = this;
    if (L.isBox(o)) return -1;
    const known = this.memo.names.get(o);
    if (known !== undefined) return known;
    const text = L.tag(o) === 1;
    const entry = [this.name(L.field(o, 0)), text ? L.text(L.field(o, 1)) : Number(this.nat(L.field(o, 1)))];
    const index = this.entry('names', entry, JSON.stringify(entry));
    if (index === this.objects.length) this.objects.push(o);
    this.memo.names.set(o, index);
    return index;
  }

  names(list) {
    return this.L.items(list).map((o) => this.name(o));
  }

  level(o) {
    const { L } = this;
    const known = this.memo.levels.get(o);
    if (known !== undefined) return known;
    const tag = L.tag(o);
    let entry = [tag];
    if (tag === 1) entry = [tag, this.level(L.field(o, 0))];
    else if (tag === 2 || tag === 3) entry = [tag, this.level(L.field(o, 0)), this.level(L.field(o, 1))];
    else if (tag === 4) entry = [tag, this.name(L.field(o, 0))];
    else if (tag !== 0) throw new Refusal('a level that is not closed');
    const index = this.entry('levels', entry);
    this.memo.levels.set(o, index);
    return index;
  }

  expr(root) {
    const { L, out } = this;
    const memo = this.memo.exprs;
    const stack = [root];
    while (stack.length) {
      let o = stack[stack.length - 1];
      if (memo.has(o)) {
        stack.pop();
        continue;
      }
      const tag = L.tag(o);
      const size = stack.length;
      for (const i of CHILDREN[tag]) {
        const child = L.field(o, i);
        if (!memo.has(child)) stack.push(child);
      }
      if (stack.length > size) continue;
      stack.pop();
      if (tag === MDATA) {
        memo.set(o, memo.get(L.field(o, 1)));
        continue;
      }
      const child = (i) => memo.get(L.field(o, i));
      let entry, key;
      if (tag === APP) {
        entry = [tag, child(0), child(1)];
        key = entry[1] * MAX_NODES + entry[2];
      } else if (tag === BVAR) entry = [tag, Number(this.nat(L.field(o, 0)))];
      else if (tag === SORT) entry = [tag, this.level(L.field(o, 0))];
      else if (tag === CONST) {
        entry = [tag, this.name(L.field(o, 0)), L.items(L.field(o, 1)).map((l) => this.level(l))];
      } else if (tag === LAM || tag === PI) entry = [tag, this.name(L.field(o, 0)), child(1), child(2)];
      else if (tag === LET) entry = [tag, this.name(L.field(o, 0)), child(1), child(2), child(3)];
      else if (tag === LIT) {
        const literal = L.field(o, 0);
        const value = L.field(literal, 0);
        entry = L.tag(literal) === 0 ? [tag, 0, this.nat(value)] : [tag, 1, L.text(value)];
      } else if (tag === PROJ) {
        entry = [tag, this.name(L.field(o, 0)), Number(this.nat(L.field(o, 1))), child(2)];
      } else throw new Refusal('a term that is not closed');
      if (out.exprs.length >= MAX_NODES) throw new Refusal('the proof term is too large');
      memo.set(o, this.entry('exprs', entry, key));
    }
    return memo.get(root);
  }

  // An expression of the declaration at hand, whose constants are noted.
  term(o) {
    const { exprs } = this.out;
    const root = this.expr(o);
    const stack = [root];
    while (stack.length) {
      const at = stack.pop();
      if (this.seen.has(at)) continue;
      this.seen.add(at);
      const [tag, ...parts] = exprs[at];
      if (tag === CONST || tag === PROJ) this.used.add(parts[0]);
      if (tag === APP) stack.push(parts[0], parts[1]);
      else if (tag === LAM || tag === PI || tag === LET) stack.push(...parts.slice(1));
      else if (tag === PROJ) stack.push(parts[2]);
    }
    return root;
  }

  find(name) {
    const { L } = this;
    const option = L.fn('lean_environment_find')(L.inc(this.env), L.inc(name));
    if (L.isBox(option)) return 0;
    this.infos.push(option);
    return L.field(option, 0);
  }

  // The declarations that the constants in `used` rest on and that are not in the base, each after its own.
  closure() {
    const done = new Set();
    const { decls } = this.out;
    const visit = (index) => {
      const stack = [[index, null]];
      while (stack.length) {
        const [at, ready] = stack.pop();
        if (ready) {
          if (ready.kind !== 'part') decls.push(ready);
          continue;
        }
        if (done.has(at) || this.isBase(this.objects[at])) continue;
        done.add(at);
        const info = this.find(this.objects[at]);
        if (!info) continue;
        this.used = new Set();
        this.seen = new Set();
        stack.push([at, this.declaration(info, done)]);
        for (const need of this.used) stack.push([need, null]);
      }
    };
    for (const index of [...this.used]) visit(index);
    return this.out;
  }

  head(value) {
    const base = this.L.field(value, 0);
    return {
      name: this.name(this.L.field(base, 0)),
      params: this.names(this.L.field(base, 1)),
      type: this.term(this.L.field(base, 2)),
    };
  }

  declaration(info, done) {
    const { L } = this;
    const kind = KINDS[L.tag(info)];
    const value = L.field(info, 0);
    if (kind === 'ctor' || kind === 'rec') {
      const owner = kind === 'ctor' ? L.field(value, 1) : L.items(L.field(value, 1))[0];
      this.used.add(this.name(owner));
      return { kind: 'part' };
    }
    if (kind === 'induct') return this.inductive(value, done);
    const decl = { kind, ...this.head(value) };
    if (kind === 'axiom' || kind === 'quot') return decl;
    decl.value = this.term(L.field(value, 1));
    if (kind === 'def') {
      const hints = L.field(value, 2);
      decl.hints = L.isBox(hints) ? hints >>> 1 : [L.u32(hints + 8)];
      decl.safe = L.u8(value + 8 + 4 * 4) === 1;
    } else if (kind === 'opaque') decl.safe = L.u8(value + 8 + 4 * 3) === 0;
    return decl;
  }

  inductive(value, done) {
    const { L } = this;
    const group = L.items(L.field(value, 3));
    const types = group.map((name) => {
      const each = L.field(this.find(name), 0);
      done.add(this.name(name));
      const ctors = L.items(L.field(each, 4)).map((c) => {
        done.add(this.name(c));
        const { name: ctor, type } = this.head(L.field(this.find(c), 0));
        return { name: ctor, type };
      });
      return { ...this.head(each), ctors };
    });
    return { kind: 'induct', params: types[0].params, nparams: Number(this.nat(L.field(value, 1))), types };
  }

  close() {
    this.infos.forEach((o) => this.L.dec(o));
  }
}

// Rebuilds the objects of exported tables. `table` entries must refer to earlier ones; everything is checked
// by the kernel afterwards, nothing by this class.
class Importer {
  constructor(L, data) {
    const mk = (name) => L.fn(name);
    const at = (table, i) => {
      if (!(Number.isInteger(i) && i >= 0 && i < table.length)) throw new Refusal('a reference to nothing');
      return L.inc(table[i]);
    };
    this.L = L;
    this.names = [];
    this.levels = [];
    this.exprs = [];
    this.name = (i) => (i === -1 ? L.box(0) : at(this.names, i));
    this.expr = (i) => at(this.exprs, i);
    this.natural = (text) => {
      if (!/^[0-9]+$/.test(text)) throw new Refusal('not a number');
      const small = Number(text);
      return small < 2 ** 30 ? L.box(small) : L.fn('lean_cstr_to_nat')(this.cstring(text));
    };
    const level = (i) => at(this.levels, i);
    for (const [parent, part] of data.names) {
      const make = typeof part === 'string' ? mk('l_Lean_Name_str___override') : mk('l_Lean_Name_num___override');
      this.names.push(make(this.name(parent), typeof part === 'string' ? L.string(part) : this.natural(String(part))));
    }
    for (const [tag, a, b] of data.levels) {
      if (tag === 0) this.levels.push(mk('lean_level_mk_zero')(L.box(0)));
      else if (tag === 1) this.levels.push(mk('lean_level_mk_succ')(level(a)));
      else if (tag === 2) this.levels.push(mk('lean_level_mk_max')(level(a), level(b)));
      else if (tag === 3) this.levels.push(mk('lean_level_mk_imax')(level(a), level(b)));
      else this.levels.push(mk('lean_level_mk_param')(this.name(a)));
    }
    for (const [tag, a, b, c, d] of data.exprs) {
      let o;
      if (tag === BVAR) o = mk('lean_expr_mk_bvar')(this.natural(String(a)));
      else if (tag === SORT) o = mk('lean_expr_mk_sort')(level(a));
      else if (tag === CONST) o = mk('lean_expr_mk_const')(this.name(a), L.list(b.map(level)));
      else if (tag === APP) o = mk('lean_expr_mk_app')(this.expr(a), this.expr(b));
      else if (tag === LAM) o = mk('lean_expr_mk_lambda')(this.name(a), this.expr(b), this.expr(c), 0);
      else if (tag === PI) o = mk('lean_expr_mk_forall')(this.name(a), this.expr(b), this.expr(c), 0);
      else if (tag === LET) o = mk('lean_expr_mk_let')(this.name(a), this.expr(b), this.expr(c), this.expr(d), 0);
      else if (tag === PROJ) o = mk('lean_expr_mk_proj')(this.name(a), this.natural(String(b)), this.expr(c));
      else if (tag === LIT) o = mk('lean_expr_mk_lit')(L.ctor(a, [a === 0 ? this.natural(b) : L.string(b)]));
      else throw new Refusal('an unknown kind of term');
      this.exprs.push(o);
    }
  }

  cstring(text) {
    const bytes = Buffer.from(`${text}\0`);
    const p = this.L.M.LEAN.malloc(bytes.length);
    this.L.M.LEAN.u8().set(bytes, p);
    return p;
  }

  head({ name, params, type }) {
    return this.L.ctor(0, [this.name(name), this.L.list(params.map((p) => this.name(p))), this.expr(type)]);
  }

  // A `Lean.Declaration`; axioms, quotients and unsafe definitions have none.
  declaration(decl) {
    const { L } = this;
    const self = () => L.list([this.name(decl.name)]);
    if (decl.kind === 'thm') return L.ctor(2, [L.ctor(0, [this.head(decl), this.expr(decl.value), self()])]);
    if (decl.kind === 'opaque' && decl.safe) {
      return L.ctor(3, [L.ctor(0, [this.head(decl), this.expr(decl.value), self()], 1, [[0, 0]])]);
    }
    if (decl.kind === 'def' && decl.safe) {
      const { hints } = decl;
      const height = Array.isArray(hints) ? hints[0] >>> 0 : 0;
      const bytes = [0, 8, 16, 24].map((shift, i) => [i, (height >>> shift) & 255]);
      const hint = Array.isArray(hints) ? L.ctor(2, [], 4, bytes) : L.box(hints === 1 ? 1 : 0);
      return L.ctor(1, [L.ctor(0, [this.head(decl), this.expr(decl.value), hint, self()], 1, [[0, 1]])]);
    }
    if (decl.kind === 'induct') {
      const types = decl.types.map(({ name, type, ctors }) => {
        const list = ctors.map((c) => L.ctor(0, [this.name(c.name), this.expr(c.type)]));
        return L.ctor(0, [this.name(name), this.expr(type), L.list(list)]);
      });
      const params = L.list(decl.params.map((p) => this.name(p)));
      return L.ctor(6, [params, this.natural(String(decl.nparams)), L.list(types)], 1, [[0, 0]]);
    }
    throw new Refusal(`a declaration of kind ${decl.kind} that is not safe`);
  }

  close() {
    for (const table of [this.exprs, this.levels, this.names]) table.forEach((o) => this.L.dec(o));
  }
}

module.exports = { Exporter, Importer };
