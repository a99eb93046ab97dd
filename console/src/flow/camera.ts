/** A camera of this machine that the browser opens itself. */
import { useEffect, useRef, useState } from "react";
import { Problem } from "../api/problems";

const WISHED = { width: { ideal: 1920 }, height: { ideal: 1080 }, facingMode: "environment" };
const JPEG_QUALITY = 0.92;
const MOST_LETTERS = 200;

export interface DeviceCamera {
  video: React.RefObject<HTMLVideoElement | null>;
  problem: Problem | null;
}

/** Shows the camera in `video` while it is wanted. */
export function useDeviceCamera(isWanted: boolean): DeviceCamera {
  const video = useRef<HTMLVideoElement>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  useEffect(() => {
    if (!isWanted) return;
    let stream: MediaStream | null = null;
    let hasEnded = false;
    const open = async () => {
      try {
        stream = await openCamera();
        if (hasEnded) stop(stream);
        else if (video.current) {
          video.current.srcObject = stream;
          await video.current.play().catch(() => undefined);
        }
      } catch (error) {
        if (!hasEnded) setProblem(new Problem({ code: "camera-refused", detail: String(error) }));
      }
    };
    void open();
    return () => {
      hasEnded = true;
      setProblem(null);
      if (stream) stop(stream);
    };
  }, [isWanted]);
  return { video, problem };
}

async function openCamera(): Promise<MediaStream> {
  if (!navigator.mediaDevices) throw new Error("no secure context");
  return navigator.mediaDevices.getUserMedia({ video: WISHED, audio: false });
}

function stop(stream: MediaStream): void {
  for (const track of stream.getTracks()) track.stop();
}

/** What the video shows now, in the camera's own size; null before its first frame. */
export async function frameOf(video: HTMLVideoElement): Promise<Blob | null> {
  if (video.videoWidth === 0) return null;
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d")?.drawImage(video, 0, 0);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", JPEG_QUALITY));
}

/** What the machine calls the camera in `video`. */
export function cameraIn(video: HTMLVideoElement): string {
  const [track] = video.srcObject instanceof MediaStream ? video.srcObject.getVideoTracks() : [];
  return track?.label.slice(0, MOST_LETTERS) || "camera";
}
