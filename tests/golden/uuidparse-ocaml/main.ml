(* Tells variant, type and time of UUIDs, as a table, raw or as JSON. *)

let () =
  set_binary_mode_in stdin true;
  set_binary_mode_out stdout true;
  try
    let settings = Options.read (List.tl (Array.to_list Sys.argv)) in
    let columns =
      match settings.list with
      | Some list -> Options.columns list
      | None -> [ 0; 1; 2; 3 ]
    in
    let words =
      match settings.operands with
      | [] -> Uuid.words (In_channel.input_all stdin)
      | words -> words
    in
    let rows = List.map Uuid.describe words in
    if settings.json then Print.json rows columns
    else Print.lines rows columns ~headings:(not settings.no_headings) ~raw:settings.raw
  with
  | Options.Told text -> print_string text
  | Options.Failed text ->
      prerr_string text;
      exit 1
