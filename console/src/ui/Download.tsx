/** A file that the agent makes, in the console's language; if it refuses, why is shown beside the button. */
import Button from "@mui/material/Button";
import { useMutation } from "@tanstack/react-query";
import { fetchFile } from "../api/client";
import { ProblemAlert } from "./ProblemAlert";

export function Download({ label, path }: { label: string; path: string }) {
  const make = useMutation({ mutationFn: () => fetchFile(path), onSuccess: save });
  return (
    <>
      <Button loading={make.isPending} onClick={() => make.mutate()}>
        {label}
      </Button>
      <ProblemAlert error={make.error} onClose={() => make.reset()} />
    </>
  );
}

/** A browser saves what a link leads to. */
function save(file: File): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = file.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href)); // the download has begun by then
}
