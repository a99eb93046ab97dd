/** Installing a model package from a file: only what its golden samples agree with on this machine is taken. */
import Alert from "@mui/material/Alert";
import Checkbox from "@mui/material/Checkbox";
import FormControlLabel from "@mui/material/FormControlLabel";
import Stack from "@mui/material/Stack";
import TextField from "@mui/material/TextField";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { readAgain } from "../api/again";
import { postFile, type Schemas } from "../api/client";
import { useWords } from "../i18n";
import { FileButton } from "../ui/FileButton";
import { ProblemAlert } from "../ui/ProblemAlert";
import { Section } from "../ui/Section";

const PACKAGES = ".zip,.onnx";

export function InstallModel() {
  const { t } = useWords();
  const client = useQueryClient();
  const [name, setName] = useState("");
  const [version, setVersion] = useState("");
  const [isActive, setIsActive] = useState(false);
  const install = useMutation({
    mutationFn: (file: File) => {
      const given = { name, version, activate: isActive ? "true" : "" };
      const query = new URLSearchParams(Object.entries(given).filter(([, value]) => value !== ""));
      return postFile<Schemas["ModelPackage"]>(`/models/install?${query}`, typed(file));
    },
    onSuccess: () => readAgain(client, { queryKey: ["masters"] }),
  });
  return (
    <Section title={t("models.install")}>
      <ProblemAlert error={install.error} onClose={() => install.reset()} />
      {install.data && (
        <Alert severity="success" data-testid="installed">
          {t("models.done", { name: install.data.name, version: install.data.version })}
        </Alert>
      )}
      <Stack direction="row" spacing={1} useFlexGap sx={{ flexWrap: "wrap" }}>
        <TextField label={t("models.name")} value={name} onChange={({ target }) => setName(target.value)} />
        <TextField
          label={t("models.version")}
          value={version}
          onChange={({ target }) => setVersion(target.value)}
        />
        <FormControlLabel
          control={<Checkbox checked={isActive} onChange={(_event, checked) => setIsActive(checked)} />}
          label={t("models.atonce")}
          sx={{ minHeight: 48, "& .MuiCheckbox-root": { width: 48, height: 48 } }}
        />
        <FileButton
          label={t("models.file")}
          accept={PACKAGES}
          isBusy={install.isPending}
          onFile={(file) => install.mutate(file)}
        />
      </Stack>
    </Section>
  );
}

/** No browser knows what an exported model is. */
const typed = (file: File): Blob =>
  new Blob([file], { type: file.name.endsWith(".onnx") ? "application/onnx" : "application/zip" });
