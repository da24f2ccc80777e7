// A recording from the microphone as a WAV file: browsers record in forms of their own (WebM, MP4), which are decoded
// here, so that the server is given what every reader of sound knows.

export const canRecord = () => Boolean(navigator.mediaDevices?.getUserMedia && window.MediaRecorder);

// Begins; `stop()` of what comes back ends it and gives the file. `heard` is told how loud it is, 0 to 1.
export async function record(heard) {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  context.createMediaStreamSource(stream).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    heard(Math.min(1, 1.5 * Math.max(...samples.map(Math.abs))));
  }, 80);
  const recorder = new MediaRecorder(stream);
  const pieces = [];
  recorder.addEventListener("dataavailable", (event) => pieces.push(event.data));
  recorder.start();
  return {
    async stop() {
      const ended = new Promise((done) => recorder.addEventListener("stop", done));
      recorder.stop();
      await ended;
      clearInterval(timer);
      for (const track of stream.getTracks()) track.stop();
      const sound = await context.decodeAudioData(await new Blob(pieces, { type: recorder.mimeType }).arrayBuffer());
      await context.close();
      return new File([wav(mono(sound), sound.sampleRate)], "recording.wav", { type: "audio/wav" });
    },
  };
}

function mono(sound) {
  const mixed = new Float32Array(sound.length);
  for (let channel = 0; channel < sound.numberOfChannels; channel++) {
    const samples = sound.getChannelData(channel);
    for (let i = 0; i < mixed.length; i++) mixed[i] += samples[i] / sound.numberOfChannels;
  }
  return mixed;
}

// RIFF WAVE, 16 bits, one channel.
function wav(samples, rate) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (at, letters) => [...letters].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples.length, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); // the length of what follows up to "data"
  view.setUint16(20, 1, true); // whole numbers
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true); // bytes a second
  view.setUint16(32, 2, true); // bytes a sample
  view.setUint16(34, 16, true); // bits a sample
  text(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((sample, i) => view.setInt16(44 + 2 * i, 32767 * Math.max(-1, Math.min(1, sample)), true));
  return view.buffer;
}
