// Starts `corn lsp` and talks to it over its standard streams.
"use strict";

const vscode = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;

async function start() {
  const command = vscode.workspace.getConfiguration("corn").get("path", "corn");
  client = new LanguageClient(
    "corn",
    "Corn",
    { command, args: ["lsp"] },
    { documentSelector: [{ language: "corn" }] },
  );
  try {
    await client.start();
  } catch (error) {
    client = undefined;
    vscode.window.showErrorMessage(
      `'${command} lsp' cannot be started (${error.message}). Install the command, or set "corn.path".`,
    );
  }
}

async function stop() {
  const running = client;
  client = undefined;
  await running?.stop();
}

async function restart() {
  await stop();
  await start();
}

async function activate(context) {
  context.subscriptions.push(
    vscode.commands.registerCommand("corn.restart", restart),
    vscode.workspace.onDidChangeConfiguration((change) => {
      if (change.affectsConfiguration("corn.path")) restart();
    }),
  );
  await start();
}

module.exports = { activate, deactivate: stop };
