import Button from "@mui/material/Button";
import { useRef } from "react";

export const PICTURES = "image/jpeg,image/png,image/tiff,image/bmp";

/** A button that opens the system's choice of a file. */
export function FileButton(props: {
  label: string;
  accept: string;
  isBusy: boolean;
  onFile: (file: File) => void;
}) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <Button size="large" loading={props.isBusy} onClick={() => input.current?.click()}>
        {props.label}
      </Button>
      <input
        ref={input}
        type="file"
        accept={props.accept}
        hidden
        onChange={(event) => {
          const [file] = event.target.files ?? [];
          event.target.value = "";
          if (file) props.onFile(file);
        }}
      />
    </>
  );
}
