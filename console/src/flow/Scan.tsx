import Button from "@mui/material/Button";
import Stack from "@mui/material/Stack";
import TextField from "@mui/material/TextField";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useEffect, useEffectEvent, useRef, useState } from "react";
import { useLocation, useNavigate } from "react-router";
import { keep } from "../api/again";
import { api, read } from "../api/client";
import { session } from "../api/queries";
import { useWords } from "../i18n";
import { Page } from "../ui/Page";
import { ProblemAlert } from "../ui/ProblemAlert";
import { useSignal } from "../ui/signal";
import { CodeCamera } from "./CodeCamera";
import { useScanner } from "./scanner";

/** Which product: by a scanner that types, by camera, or by hand. */
export function Scan() {
  const { t } = useWords();
  const handed = (useLocation().state as { text?: string } | null)?.text;
  const [text, setText] = useState(handed ?? "");
  const [hasCamera, setHasCamera] = useState(false);
  const field = useRef<HTMLInputElement>(null);
  const start = useStart((refused) => {
    if (field.current?.value === refused) field.current.select(); // else the next is being typed
  });
  const startHanded = useEffectEvent(start.send);
  useEffect(() => {
    if (handed) startHanded(handed);
  }, [handed]);
  useScanner(start.send);
  return (
    <Page title={t("scan.title")}>
      {start.error && <ProblemAlert error={start.error} onClose={start.reset} />}
      <Stack
        component="form"
        direction="row"
        spacing={1}
        onSubmit={(event) => {
          event.preventDefault();
          if (text.trim()) start.send(text);
          if (field.current === document.activeElement) field.current?.select(); // what is typed next is another code
        }}
      >
        <TextField
          label={t("scan.code")}
          helperText={t("scan.help")}
          value={text}
          onChange={(event) => setText(event.target.value)}
          inputRef={field}
          autoFocus
          fullWidth
          slotProps={{ htmlInput: { autoCapitalize: "characters", spellCheck: false, autoComplete: "off" } }}
        />
        <Button
          type="submit"
          variant="contained"
          loading={start.isPending}
          disabled={!text.trim()}
          sx={{ minWidth: 120, height: 56 }}
        >
          {t("scan.start")}
        </Button>
      </Stack>
      {hasCamera ? (
        <CodeCamera onCode={start.send} isBusy={start.isPending} />
      ) : (
        <Button onClick={() => setHasCamera(true)}>{t("scan.camera")}</Button>
      )}
    </Page>
  );
}

/** Starts the session of a code, or goes on with the open one; the last code counts, and only while this is shown. */
function useStart(onRefused: (text: string) => void) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const signal = useSignal();
  const start = useMutation({
    mutationFn: (text: string) => read(api.POST("/api/v1/sessions", { body: { text } })),
    onSuccess: (body) => {
      signal("scanned");
      keep(client, session(body.session.id).queryKey, body);
    },
    onError: (_error, text) => {
      signal("wrong");
      onRefused(text);
    },
  });
  const send = (text: string) =>
    start.mutate(text, { onSuccess: ({ session: { id } }) => navigate(`/sessions/${id}`) });
  return { send, isPending: start.isPending, error: start.error, reset: start.reset };
}
