/** The webcam: a live picture and a shutter. */
import { DeviceError } from "@wiggly/client";
import { useEffect, useRef } from "preact/hooks";

interface CameraProps {
  onPhoto: (photo: File) => void;
  onError: (error: unknown) => void;
  onClose: () => void;
}

export function Camera({ onPhoto, onError, onClose }: CameraProps) {
  const video = useRef<HTMLVideoElement>(null);
  const shutter = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    let stream: MediaStream | null = null;
    let gone = false;
    const wanted = { video: { facingMode: "environment", width: { ideal: 1280 } } };
    navigator.mediaDevices.getUserMedia(wanted).then(
      (found) => {
        stream = found;
        if (gone) return stop(found);
        video.current!.srcObject = found;
        shutter.current?.focus();
      },
      (cause: unknown) => {
        const said = cause instanceof Error ? cause.message : String(cause);
        onError(
          new DeviceError("the page must be allowed to use the camera", said, "Allow it, or choose a file."),
        );
      },
    );
    return () => {
      gone = true;
      if (stream) stop(stream);
    };
  }, [onError]);
  const take = () => {
    const source = video.current!;
    const canvas = document.createElement("canvas");
    canvas.width = source.videoWidth;
    canvas.height = source.videoHeight;
    canvas.getContext("2d")?.drawImage(source, 0, 0);
    canvas.toBlob(
      (blob) => blob && onPhoto(new File([blob], "webcam.png", { type: "image/png" })),
      "image/png",
    );
  };
  return (
    <div class="camera" onKeyDown={(event) => event.key === "Escape" && onClose()}>
      <video ref={video} autoPlay playsInline muted aria-label="What the camera sees" />
      <div class="buttons">
        <button type="button" class="primary" ref={shutter} onClick={take}>
          Take the photo
        </button>
        <button type="button" onClick={onClose}>
          Cancel
        </button>
      </div>
    </div>
  );
}

function stop(stream: MediaStream): void {
  for (const track of stream.getTracks()) track.stop();
}
