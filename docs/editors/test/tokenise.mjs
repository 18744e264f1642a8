// Tokenises .corn files with the grammar and lists what it gives no scope of its own.
//
//     npm install vscode-textmate vscode-oniguruma && node tokenise.mjs FILE… [--print]
import fs from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const oniguruma = require("vscode-oniguruma");
const { Registry, parseRawGrammar, INITIAL } = require("vscode-textmate");

const wasm = fs.readFileSync(require.resolve("vscode-oniguruma/release/onig.wasm"));
await oniguruma.loadWASM(wasm.buffer.slice(wasm.byteOffset, wasm.byteOffset + wasm.byteLength));
const path = new URL("../vscode/syntaxes/corn.tmLanguage.json", import.meta.url);
const registry = new Registry({
  onigLib: Promise.resolve({
    createOnigScanner: (patterns) => new oniguruma.OnigScanner(patterns),
    createOnigString: (text) => new oniguruma.OnigString(text),
  }),
  loadGrammar: async () => parseRawGrammar(fs.readFileSync(path, "utf8"), "corn.tmLanguage.json"),
});
const grammar = await registry.loadGrammar("source.corn");

const shown = process.argv.includes("--print");
let bare = 0;
for (const file of process.argv.slice(2).filter((argument) => !argument.startsWith("--"))) {
  let state = INITIAL;
  for (const [index, line] of fs.readFileSync(file, "utf8").split("\n").entries()) {
    const { tokens, ruleStack } = grammar.tokenizeLine(line, state);
    state = ruleStack;
    for (const { startIndex, endIndex, scopes } of tokens) {
      const text = line.slice(startIndex, endIndex);
      if (text.trim() === "") continue;
      if (shown) console.log(`${text.padEnd(30)} ${scopes.slice(1).join(" ")}`);
      if (scopes.length === 1 || scopes.some((scope) => scope.startsWith("invalid"))) {
        console.log(`${file}:${index + 1}:${startIndex + 1}: '${text}' has ${scopes.join(" ")}`);
        bare += 1;
      }
    }
  }
}
process.exitCode = bare > 0 ? 1 : 0;
