// The playground: fields for what a route takes, and what it makes, as it comes.

const FILES = { image: "image/png,image/jpeg,image/webp,image/gif", audio: "audio/*", video: "video/*", media: "image/*,audio/*,video/*" };
/** Sounds that the server reads as they are; others are decoded here. */
const SOUNDS = ["wav", "x-wav", "wave", "mpeg", "flac", "x-flac", "ogg", "aac", "mp4", "x-m4a", "webm"].map((type) => `audio/${type}`);
const FRAMES = 16;
/** Letters of one output that are shown. */
const TEXT_MOST = 100_000;
const ARRAYS = { f32: Float32Array, f64: Float64Array, i8: Int8Array, i16: Int16Array, i32: Int32Array, u8: Uint8Array, bool: Uint8Array, i64: BigInt64Array };

const toBase64 = (blob) => new Promise((resolve, reject) => {
  const reader = new FileReader();
  reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
  reader.onerror = () => reject(reader.error);
  reader.readAsDataURL(blob);
});

/** One channel of 16 bits. */
function wav(samples, rate) {
  const view = new DataView(new ArrayBuffer(44 + samples.length * 2));
  const word = (at, text) => [...text].forEach((letter, index) => view.setUint8(at + index, letter.charCodeAt(0)));
  word(0, "RIFF"); view.setUint32(4, 36 + samples.length * 2, true); word(8, "WAVEfmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
  view.setUint32(24, rate, true); view.setUint32(28, rate * 2, true); view.setUint16(32, 2, true); view.setUint16(34, 16, true);
  word(36, "data"); view.setUint32(40, samples.length * 2, true);
  samples.forEach((it, index) => view.setInt16(44 + index * 2, Math.round(Math.max(-1, Math.min(1, it)) * 32767), true));
  return new Blob([view], { type: "audio/wav" });
}

async function decoded(blob) {
  const context = new AudioContext();
  try {
    const sound = await context.decodeAudioData(await blob.arrayBuffer());
    const channels = Array.from({ length: sound.numberOfChannels }, (_, index) => sound.getChannelData(index));
    return wav(channels[0].map((_, at) => mean(channels.map((channel) => channel[at]))), sound.sampleRate);
  } catch {
    throw new Error(`the browser cannot read ${blob.name ?? "this"} as sound`);
  } finally {
    context.close();
  }
}

/** Frames of a film, evenly apart, as this browser decodes it. */
async function framesOf(file) {
  const film = el("video", { muted: true, preload: "auto" });
  const until = (event) => new Promise((resolve, reject) => {
    film.addEventListener(event, resolve, { once: true });
    film.addEventListener("error", () => reject(new Error(`the browser cannot read ${file.name} as video`)), { once: true });
  });
  film.src = URL.createObjectURL(file);
  try {
    await until("loadeddata");
    const length = Number.isFinite(film.duration) ? film.duration : 1;
    const canvas = el("canvas", { width: film.videoWidth, height: film.videoHeight });
    const frames = [];
    const count = Math.max(1, Math.min(FRAMES, Math.ceil(length)));
    for (let index = 0; index < count; index += 1) {
      const seconds = (length * index) / count;
      const sought = until("seeked");
      film.currentTime = seconds;
      if (index || seconds) await sought;
      canvas.getContext("2d").drawImage(film, 0, 0);
      frames.push({ time_us: Math.round(seconds * 1e6), image: canvas.toDataURL("image/jpeg", 0.9) });
    }
    return frames;
  } finally {
    URL.revokeObjectURL(film.src);
  }
}

/** A chosen file as a value; `code` stands for it in what is shown to paste. */
async function mediumOf(file) {
  if (file.type.startsWith("image/")) return { image: await toBase64(file) };
  if (file.type.startsWith("video/")) return { video: { frames: await framesOf(file) } };
  const sound = SOUNDS.includes(file.type) ? file : await decoded(file);
  return { audio: await toBase64(sound) };
}

/** A file to choose, or a microphone to speak into. */
function fileField(id, kind, most, changed) {
  const chosen = el("div", { class: "chosen" });
  const input = el("input", { id, type: "file", accept: FILES[kind], multiple: most > 1 });
  let files = [];
  const show = () => {
    chosen.replaceChildren(...files.map((file) => {
      const url = URL.createObjectURL(file);
      if (file.type.startsWith("image/")) return el("img", { src: url, alt: file.name });
      if (file.type.startsWith("audio/")) return el("audio", { src: url, controls: true, "aria-label": file.name });
      return el("span", {}, file.name);
    }));
    changed();
  };
  input.addEventListener("change", () => {
    files = [...input.files].slice(0, most);
    show();
  });
  const parts = [input];
  if (kind === "audio" || kind === "media") parts.push(microphone((file) => {
    files = most > 1 ? [...files, file].slice(-most) : [file];
    show();
  }));
  return { element: el("div", { class: "chosen" }, ...parts, chosen), files: () => files };
}

function microphone(heard) {
  let recorder = null;
  const button = el("button", { type: "button", class: "quiet" }, "Record");
  button.addEventListener("click", async () => {
    if (recorder) return recorder.stop();
    if (!navigator.mediaDevices) return showProblem("Browsers give the microphone only to pages at https or localhost.");
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
      const pieces = [];
      recorder = new MediaRecorder(stream);
      recorder.ondataavailable = (event) => pieces.push(event.data);
      recorder.onstop = async () => {
        stream.getTracks().forEach((track) => track.stop());
        recorder = null;
        button.textContent = "Record";
        try {
          heard(new File([await decoded(new Blob(pieces))], "microphone.wav", { type: "audio/wav" }));
        } catch (error) {
          showProblem(error.message);
        }
      };
      recorder.start();
      button.textContent = "Stop recording";
    } catch (error) {
      showProblem(`The microphone: ${error.message}`);
    }
  });
  return button;
}

/** Numbers in brackets as a tensor. */
function tensorOf(text, dtype) {
  const Numbers = ARRAYS[dtype];
  if (!Numbers) throw new Error(`a tensor of ${dtype} cannot be written here; send it from a program`);
  const nested = JSON.parse(text);
  const shape = [];
  for (let level = nested; Array.isArray(level); [level] = level) shape.push(level.length);
  const flat = [nested].flat(Infinity).map((it) => (dtype === "i64" ? BigInt(it) : Number(it)));
  const raw = new Uint8Array(Numbers.from(flat).buffer);
  return { tensor: { dtype, shape, data: btoa(String.fromCharCode(...raw)) } };
}

/** A field for an input: its element, and what it is worth (undefined leaves it out). */
function fieldOf(input, changed) {
  const id = `in-${input.name}`;
  const { kind, form, max_items: most, words, dtype } = input.type;
  const isList = form === "list";
  const note = `${input.type.text}${input.required ? "" : ", may be left out"}`;
  const label = el("label", { for: id }, input.name, " ", el("span", { class: "note" }, note));
  const field = (element, value, files = () => []) => ({ name: input.name, element: el("div", { class: "field" }, label, element), value, files });
  const start = input.default ?? null;
  const choices = kind === "enum" ? words : input.choices;
  if (!isList && (choices.length || kind === "bool")) {
    const options = choices.length ? choices : [true, false];
    const select = el("select", { id, onchange: changed }, input.required ? null : el("option", { value: "" }, start === null ? "left out" : `${start} (default)`),
      ...options.map((it) => el("option", { value: JSON.stringify(it) }, String(it))));
    return field(select, () => (select.value === "" ? undefined : JSON.parse(select.value)));
  }
  if (kind in FILES) {
    const chooser = fileField(id, kind, isList ? most : 1, changed);
    const value = async (asValue) => {
      const media = await Promise.all(chooser.files().map(asValue));
      return media.length ? (isList ? media : media[0]) : undefined;
    };
    return field(chooser.element, value, chooser.files);
  }
  if ((kind === "int" || kind === "float") && !isList) {
    const number = el("input", { id, type: "number", step: kind === "int" ? 1 : "any", placeholder: start === null ? "" : `${start}`, oninput: changed });
    return field(number, () => (number.value === "" ? undefined : Number(number.value)));
  }
  const hint = isList ? (kind === "text" ? "one on each line" : "[…]") : kind === "tensor" ? "[0, 1, …]" : start ?? "";
  const area = el("textarea", { id, placeholder: hint, oninput: changed, onkeydown: (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("ask").requestSubmit();
  } });
  if (kind === "messages") return conversationField(field, area, id, input, changed);
  return field(area, () => {
    const text = area.value;
    if (text === "" && !(input.required && kind === "text" && !isList)) return undefined;
    if (kind === "tensor") return tensorOf(text, dtype);
    if (isList && kind === "text") return text.split("\n").filter((it) => it !== "");
    return isList ? JSON.parse(text) : text;
  });
}

/** What a user says, with media. */
function conversationField(field, area, id, input, changed) {
  const chooser = fileField(`${id}-media`, "media", input.media?.max_items ?? 8, changed);
  chooser.element.firstChild.setAttribute("aria-label", `media of ${input.name}`);
  const value = async (asValue) => {
    const media = await Promise.all(chooser.files().map(asValue));
    const content = [...media, ...(area.value ? [{ text: area.value }] : [])];
    return content.length ? { messages: [{ role: "user", content }] } : undefined;
  };
  return field(el("div", {}, area, input.media ? chooser.element : null), value, chooser.files);
}

/** Sound that is played while it comes. */
class Player {
  constructor() {
    this.context = new AudioContext();
    this.free = 0;
    this.pieces = [];
  }

  add(url) {
    const raw = Uint8Array.from(atob(url.slice(url.indexOf(",") + 1)), (letter) => letter.charCodeAt(0));
    const view = new DataView(raw.buffer);
    const samples = new Float32Array((raw.length - 44) >> 1);
    for (let index = 0; index < samples.length; index += 1) samples[index] = view.getInt16(44 + index * 2, true) / 32768;
    this.rate = view.getUint32(24, true);
    this.pieces.push(samples);
    if (!samples.length) return;
    const buffer = this.context.createBuffer(1, samples.length, this.rate);
    buffer.copyToChannel(samples, 0);
    const source = this.context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.context.destination);
    this.free = Math.max(this.free, this.context.currentTime + 0.05);
    source.start(this.free);
    this.free += buffer.duration;
  }

  /** All of it, to be heard again. */
  whole() {
    const whole = new Float32Array(this.pieces.reduce((sum, piece) => sum + piece.length, 0));
    let at = 0;
    for (const piece of this.pieces) {
      whole.set(piece, at);
      at += piece.length;
    }
    return wav(whole, this.rate ?? 24000);
  }

  stop() {
    if (this.context.state !== "closed") this.context.close();
  }
}

/** A value that is no sound and no text of a stream, as an element. */
function shown(value) {
  if (value === null) return el("pre", {}, "absent");
  if (Array.isArray(value)) return el("div", {}, ...value.map(shown));
  if (typeof value !== "object") return el("pre", {}, String(value));
  if (value.image) return el("img", { src: value.image, alt: "picture made by the route" });
  if (value.audio) return el("audio", { src: value.audio, controls: true });
  if (value.video) return film(value.video.frames);
  if (value.tensor) return el("pre", {}, numbersOf(value.tensor));
  return el("pre", {}, JSON.stringify(value, null, 2));
}

function film(frames) {
  const picture = el("img", { src: frames[0]?.image, alt: `video of ${frames.length} frames` });
  let at = 0;
  const next = () => {
    at = (at + 1) % frames.length;
    picture.src = frames[at].image;
    const pause = at ? frames[at].time_us - frames[at - 1].time_us : 500_000;
    if (picture.isConnected) setTimeout(next, pause / 1000);
  };
  if (frames.length > 1 && !matchMedia("(prefers-reduced-motion: reduce)").matches) setTimeout(next, 200);
  return picture;
}

function numbersOf({ dtype, shape, data }) {
  const raw = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const of = `${dtype}[${shape.join(", ")}]`;
  const Numbers = ARRAYS[dtype];
  if (!Numbers) return `${of}, ${bytes(raw.length)}`;
  const numbers = Array.from(new Numbers(raw.buffer).subarray(0, 16), (it) => String(dtype.startsWith("f") ? Number(it.toPrecision(6)) : it));
  return `${of}: ${numbers.join(", ")}${raw.length / Numbers.BYTES_PER_ELEMENT > 16 ? ", …" : ""}`;
}

/** Where the items of one output are shown. */
class Shown {
  constructor(output, into) {
    this.output = output;
    this.body = el("div");
    into.append(el("div", { class: "output" }, el("h4", {}, `${output.name} · ${output.type.text}`), this.body));
  }

  item(value) {
    if (typeof value === "string" && this.output.type.form !== "list") {
      this.write(value);
    } else if (value?.audio) {
      this.player ??= new Player();
      this.player.add(value.audio);
    } else if (this.output.type.form === "stream" && (typeof value !== "object" || value?.tensor)) {
      this.write(`${value?.tensor ? numbersOf(value.tensor) : value}\n`);
    } else {
      this.body.append(shown(value));
    }
  }

  /** Adds to the text, and forgets the beginning of one that does not end. */
  write(text) {
    if (!this.text) {
      this.text = document.createTextNode("");
      this.body.append(el("pre", {}, this.text));
    }
    this.text.appendData(text);
    if (this.text.length > TEXT_MOST) this.text.replaceData(0, this.text.length - TEXT_MOST / 2, "… ");
  }

  end() {
    if (this.player) this.body.replaceChildren(el("audio", { controls: true, src: URL.createObjectURL(this.player.whole()), "aria-label": this.output.name }));
    else if (!this.body.hasChildNodes()) this.body.append(el("pre", { class: "faint" }, "nothing"));
  }

  stop() {
    this.player?.stop();
  }
}

/** The events of a body, as they come. */
async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    held += value;
    for (let end = held.indexOf("\n\n"); end >= 0; end = held.indexOf("\n\n")) {
      const lines = held.slice(0, end).split("\n");
      held = held.slice(end + 2);
      const of = (name) => lines.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).trimStart()).join("\n");
      if (of("data")) yield [of("event"), JSON.parse(of("data"))];
    }
  }
}
