// Elaborates a file one command after another. Lean's own `process` does so in tasks that also keep, for an editor,
// what was known after each step; here all happens on this thread and nothing is kept.
'use strict';

// Objects of this Lean: `Command.State` (environment 0, messages 1, scopes 2, info trees 8), `Scope` (options 1,
// namespace 2, open declarations 3), `Frontend.State` (command state, parser state, position, commands).
const ENV = 0, MESSAGES = 1, SCOPES = 2, INFO = 8;
const OF_SCOPE = [1, 2, 3];
const NODE = 1, KIND = 1, CHILDREN = 2; // of `Syntax`

// The environment after `code` and the message logs in their order. The caller owns both, and gives away `env` and
// `options`. Where `instances` (`instances.js`) is given, `env` has the library's instances alone, and what was found
// among them answers as long as no command could have changed them, that is for a theorem that stands first.
function elaborate(L, env, options, code, instances) {
  const noMessages = () => L.inc(L.u32(L.M.LEAN.sym('l_Lean_MessageLog_empty')));
  const input = L.string(code);
  const end = L.box(L.u32(input + 8) - 1);
  const context = L.fn('l_Lean_Parser_mkInputContext___redArg')(input, L.string('<input>'), 1, end);
  const logs = [];
  let command = withoutInfo(L, L.fn('l_Lean_Elab_Command_mkState')(env, noMessages(), options));
  let parser = L.ctor(0, [L.box(0)], 1, [[0, 0]]);
  for (let first = true, last = false; !last; ) {
    const scope = L.field(L.field(command, SCOPES), 0);
    const known = [L.field(command, ENV), ...OF_SCOPE.map((i) => L.field(scope, i))];
    const position = L.inc(L.field(parser, 0));
    const parsed = L.fn('l_Lean_Parser_parseCommand')(
      L.inc(context), L.ctor(0, known.map(L.inc)), parser, noMessages(),
    );
    const syntax = L.inc(L.field(parsed, 0));
    parser = L.inc(L.field(L.field(parsed, 1), 0));
    logs.push(L.inc(L.field(L.field(parsed, 1), 1)));
    L.dec(parsed);
    last = L.fn('l_Lean_Parser_isTerminalCommand')(L.inc(syntax)) !== 0;
    const before = L.ctor(0, [command, L.inc(parser), position, L.fn('lean_array_mk')(L.box(0))]);
    const state = L.fn('lean_st_mk_ref')(before);
    instances?.use(first && isTheorem(L, syntax) && !instances.changes(code));
    L.dec(L.io(L.fn('l_Lean_Elab_Frontend_elabCommandAtFrontend')(syntax, context, state)));
    instances?.use((first = false));
    const after = L.fn('lean_st_ref_get')(state);
    command = L.inc(L.field(after, 0));
    L.dec(after);
    L.dec(state);
    logs.push(L.inc(L.field(command, MESSAGES)));
  }
  const result = L.inc(L.field(command, ENV));
  [command, parser, context].forEach(L.dec);
  return { env: result, logs };
}

function isTheorem(L, syntax) {
  if (!isNode(L, syntax, 'Lean.Parser.Command.declaration')) return false;
  const [modifiers, declared] = [0, 1].map((i) => L.u32(L.field(syntax, CHILDREN) + 16 + 4 * i));
  return isNode(L, modifiers, 'Lean.Parser.Command.declModifiers') && isNode(L, declared, 'Lean.Parser.Command.theorem');
}

function isNode(L, syntax, kind) {
  if (L.tag(syntax) !== NODE) return false;
  const name = L.name(kind);
  const is = L.fn('lean_name_eq')(L.field(syntax, KIND), name) !== 0;
  L.dec(name);
  return is;
}

// The same `Command.State`, in which elaborators note nothing about terms and tactics.
function withoutInfo(L, command) {
  const info = L.field(command, INFO);
  const trees = [0, 1, 2].map((i) => L.inc(L.field(info, i)));
  L.setField(command, INFO, L.ctor(0, trees, 1, [[0, 0]]));
  L.dec(info);
  return command;
}

// The same by Lean's own `process`, which prints the info trees where `trace.Elab.info` is set.
function elaborateWithInfo(L, env, options, code) {
  const pair = L.io(L.fn('l_Lean_Elab_process')(L.string(code), env, options, L.box(0)));
  const [result, log] = [0, 1].map((i) => L.inc(L.field(pair, i)));
  L.dec(pair);
  return { env: result, logs: [log] };
}

module.exports = { elaborate, elaborateWithInfo };
