/** A button that changes something: asked about first if it cannot be undone, its failure shown beside it. */
import Button from "@mui/material/Button";
import Dialog from "@mui/material/Dialog";
import DialogActions from "@mui/material/DialogActions";
import DialogContent from "@mui/material/DialogContent";
import DialogTitle from "@mui/material/DialogTitle";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { readAgain } from "../api/again";
import { useWords } from "../i18n";
import { ProblemAlert } from "./ProblemAlert";

export function Action<T>(props: {
  label: string;
  /** The first word of the keys that the change makes stale. */
  stale: string;
  act: () => Promise<T>;
  onDone?: (answer: T) => void;
  /** What is asked before it is done. */
  question?: string;
  isMain?: boolean;
}) {
  const { t } = useWords();
  const client = useQueryClient();
  const [isAsking, setIsAsking] = useState(false);
  const change = useMutation({
    mutationFn: props.act,
    onSuccess: (answer) => {
      props.onDone?.(answer);
      return readAgain(client, { queryKey: [props.stale] }); // done when it can be seen
    },
  });
  const confirm = () => {
    setIsAsking(false);
    change.mutate();
  };
  return (
    <>
      <Button
        variant={props.isMain ? "contained" : "outlined"}
        loading={change.isPending}
        onClick={() => (props.question ? setIsAsking(true) : change.mutate())}
      >
        {props.label}
      </Button>
      <ProblemAlert error={change.error} onClose={() => change.reset()} />
      <Dialog open={isAsking} onClose={() => setIsAsking(false)} aria-label={props.label}>
        <DialogTitle>{props.label}</DialogTitle>
        <DialogContent>{props.question}</DialogContent>
        <DialogActions>
          <Button autoFocus onClick={() => setIsAsking(false)}>
            {t("back")}
          </Button>
          <Button variant="contained" color="error" onClick={confirm}>
            {props.label}
          </Button>
        </DialogActions>
      </Dialog>
    </>
  );
}
