import Button from "@mui/material/Button";
import Dialog from "@mui/material/Dialog";
import DialogActions from "@mui/material/DialogActions";
import DialogContent from "@mui/material/DialogContent";
import DialogTitle from "@mui/material/DialogTitle";
import TextField from "@mui/material/TextField";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { keep } from "../api/again";
import { api, read } from "../api/client";
import { session } from "../api/queries";
import { useWords } from "../i18n";
import { ProblemAlert } from "../ui/ProblemAlert";

/** Ends the session without a result, for a reason that is kept. */
export function CancelButton({ sessionId }: { sessionId: string }) {
  const { t } = useWords();
  const [isAsking, setIsAsking] = useState(false);
  const [reason, setReason] = useState("");
  const client = useQueryClient();
  const cancel = useMutation({
    mutationFn: () =>
      read(
        api.POST("/api/v1/sessions/{session_id}/cancel", {
          params: { path: { session_id: sessionId } },
          body: { reason },
        }),
      ),
    onSuccess: (body) => keep(client, session(sessionId).queryKey, body),
  });
  return (
    <>
      <Button size="large" color="inherit" onClick={() => setIsAsking(true)}>
        {t("session.cancel")}
      </Button>
      <Dialog open={isAsking} onClose={() => setIsAsking(false)} fullWidth>
        <form
          onSubmit={(event) => {
            event.preventDefault();
            cancel.mutate();
          }}
        >
          <DialogTitle>{t("session.cancel")}</DialogTitle>
          <DialogContent>
            <ProblemAlert error={cancel.error} />
            <TextField
              label={t("session.cancel.why")}
              value={reason}
              onChange={(event) => setReason(event.target.value)}
              required
              autoFocus
              fullWidth
              margin="normal"
            />
          </DialogContent>
          <DialogActions>
            <Button onClick={() => setIsAsking(false)}>{t("back")}</Button>
            <Button type="submit" color="error" variant="contained" loading={cancel.isPending}>
              {t("session.cancel")}
            </Button>
          </DialogActions>
        </form>
      </Dialog>
    </>
  );
}
