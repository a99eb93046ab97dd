/** Sound and vibration: told apart without looking at the screen. */
import { usePreferences } from "../shell/preferences";

export type Signal = "scanned" | "OK" | "NG" | "HOLD" | "wrong";
const MS = 1000;

/** Each tone: hertz and seconds; and what the machine vibrates, in milliseconds. */
const SIGNALS: Record<Signal, { tones: [number, number][]; vibration: number[] }> = {
  scanned: { tones: [[1200, 0.08]], vibration: [40] },
  OK: {
    tones: [
      [880, 0.09],
      [1320, 0.12],
    ],
    vibration: [60],
  },
  NG: {
    tones: [
      [300, 0.18],
      [220, 0.25],
    ],
    vibration: [150, 80, 150],
  },
  HOLD: { tones: [[520, 0.2]], vibration: [120] },
  wrong: { tones: [[180, 0.4]], vibration: [300] },
};

export function useSignal(): (signal: Signal) => void {
  const [{ hasSound }] = usePreferences();
  return (signal) => {
    if (!hasSound) return;
    const { tones, vibration } = SIGNALS[signal];
    navigator.vibrate?.(vibration);
    play(tones);
  };
}

function play(tones: readonly (readonly [number, number])[]): void {
  const audio = new AudioContext();
  const volume = audio.createGain();
  volume.gain.value = 0.2;
  volume.connect(audio.destination);
  let at = audio.currentTime;
  for (const [hertz, seconds] of tones) {
    const tone = audio.createOscillator();
    tone.frequency.value = hertz;
    tone.connect(volume);
    tone.start(at);
    tone.stop(at + seconds);
    at += seconds;
  }
  setTimeout(() => void audio.close(), (at - audio.currentTime) * MS + 100);
}
