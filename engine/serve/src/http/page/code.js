// Code to paste: what is asked, for a terminal and as Python. Files are read where the code runs.

/** What stands for a file in a body: its place in `files`, between letters that nobody types. */
const MARK = /^\u0000(\d+)\u0000$/;

/** A mark for each of a body's files. */
function marksFor(files) {
  return (file) => {
    const kind = file.type.startsWith("image/") ? "image" : file.type.startsWith("video/") ? "video" : SOUNDS.includes(file.type) ? "audio" : "sound";
    const mark = `\u0000${files.push({ name: file.name, kind }) - 1}\u0000`;
    if (kind === "image") return Promise.resolve({ image: mark });
    return Promise.resolve(kind === "video" ? { video: { frames: mark } } : { audio: mark });
  };
}

/** The file that a text stands for, if it does. */
const markedBy = (text, files) => files[MARK.exec(text)?.[1]];

const shellQuoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** Functions that the code needs for what the server does not read as it is: films and other sounds. */
const SHELL = {
  video: `frames() {  # 16 pictures of a film, one a second
  folder=$(mktemp -d); ffmpeg -v error -i "$1" -vf fps=1 -frames:v ${FRAMES} "$folder/%04d.png" </dev/null; at=0
  for file in "$folder"/*.png; do
    test $at -eq 0 || printf ', '
    printf '{"time_us": %d, "image": "%s"}' $((at * 1000000)) "$(base64 < "$file" | tr -d '\\n')"; at=$((at + 1))
  done; rm -r "$folder"
}
`,
  sound: `sound() { ffmpeg -v error -i "$1" -f wav - </dev/null | base64 | tr -d '\\n'; }
`,
};
const PYTHON = {
  video: `def frames(film):
    """16 pictures of a film, one a second."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["ffmpeg", "-v", "error", "-i", film, "-vf", "fps=1", "-frames:v", "${FRAMES}", folder + "/%04d.png"], check=True)
        files = sorted(pathlib.Path(folder).iterdir())
        return [{"time_us": at * 1_000_000, "image": base64.b64encode(file.read_bytes()).decode()} for at, file in enumerate(files)]

`,
  sound: `def sound(file):
    made = subprocess.run(["ffmpeg", "-v", "error", "-i", file, "-f", "wav", "-"], capture_output=True, check=True)
    return base64.b64encode(made.stdout).decode()

`,
};

/** A line for a shell: JSON in a here-document, in which files are read. */
function curlOf(body, files, origin, hasKey) {
  const read = ({ name, kind }) => {
    if (kind === "video") return `[$(frames ${shellQuoted(name)})]`;
    return kind === "sound" ? `"$(sound ${shellQuoted(name)})"` : `"$(base64 < ${shellQuoted(name)} | tr -d '\\n')"`;
  };
  const text = JSON.stringify(body, null, 2);
  // What a here-document would take for its own is escaped; marks are put in after that.
  const filled = files.length ? text.replace(/[\\$`]/g, "\\$&").replace(/"\\\\u0000(\d+)\\\\u0000"/g, (_, at) => read(files[at])) : text;
  const key = hasKey ? " -H \"authorization: Bearer $CORN_API_KEY\"" : "";
  const needed = [...new Set(files.map((file) => SHELL[file.kind] ?? ""))].join("");
  const end = files.length ? "END" : "'END'";
  return `${needed}curl ${origin}/corn/v1/infer -H 'content-type: application/json'${key} -d @- <<${end}\n${filled}\nEND`;
}

/** A value as Python writes it. */
function pythonOf(value, files, indent = "") {
  const inner = `${indent}  `;
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "string") {
    const file = markedBy(value, files);
    if (!file) return JSON.stringify(value);
    const name = JSON.stringify(file.name);
    if (file.kind === "video") return `frames(${name})`;
    return file.kind === "sound" ? `sound(${name})` : `base64.b64encode(open(${name}, "rb").read()).decode()`;
  }
  if (Array.isArray(value)) return value.length ? `[\n${value.map((it) => `${inner}${pythonOf(it, files, inner)},\n`).join("")}${indent}]` : "[]";
  if (typeof value !== "object") return String(value);
  const entries = Object.entries(value).map(([name, it]) => `${inner}${JSON.stringify(name)}: ${pythonOf(it, files, inner)},\n`);
  return entries.length ? `{\n${entries.join("")}${indent}}` : "{}";
}

function pythonProgramOf(body, files, origin, hasKey) {
  const kinds = new Set(files.map((file) => file.kind));
  const needs = { json: true, base64: files.length, os: hasKey, pathlib: kinds.has("video"), tempfile: kinds.has("video"), subprocess: kinds.has("video") || kinds.has("sound") };
  const imports = [...Object.keys(needs).filter((name) => needs[name]).sort(), "urllib.request"].join(", ");
  const key = hasKey ? ", \"authorization\": \"Bearer \" + os.environ[\"CORN_API_KEY\"]" : "";
  const helpers = [...kinds].map((kind) => PYTHON[kind] ?? "").join("");
  return `import ${imports}\n\n${helpers}body = ${pythonOf(body, files)}\nrequest = urllib.request.Request(\n    "${origin}/corn/v1/infer", json.dumps(body).encode(), {"content-type": "application/json"${key}}\n)\nprint(json.load(urllib.request.urlopen(request))["outputs"])`;
}

async function showCode() {
  const files = [];
  let body;
  try {
    body = { ...(await bodyOf(marksFor(files))), stream: false };
  } catch {
    return;
  }
  const hasKey = Boolean(sessionStorage.getItem("corn-key"));
  byId("curl").textContent = curlOf(body, files, location.origin, hasKey);
  byId("python").textContent = pythonProgramOf(body, files, location.origin, hasKey);
}

