with Ada.Characters.Handling; use Ada.Characters.Handling;
with Ada.Command_Line;        use Ada.Command_Line;
with Ada.Environment_Variables;
with Ada.Strings.Fixed;       use Ada.Strings.Fixed;
with Ada.Strings.Unbounded;   use Ada.Strings.Unbounded;
with Bytes;
with Printing;

package body Options is

   NL : constant Character := ASCII.LF;

   Help : constant String :=
     NL & "Usage:" & NL
     & " uuidparse [options] <uuid ...>" & NL & NL
     & "Options:" & NL
     & " -J, --json             use JSON output format" & NL
     & " -n, --noheadings       don't print headings" & NL
     & " -o, --output <list>    COLUMNS to display (see below)" & NL
     & " -r, --raw              use the raw output format" & NL
     & " -h, --help             display this help" & NL
     & " -V, --version          display version" & NL & NL
     & "Available output columns:" & NL
     & "     UUID  unique identifier" & NL
     & "  VARIANT  variant name" & NL
     & "     TYPE  type name" & NL
     & "     TIME  timestamp" & NL & NL
     & "For more details see uuidparse(1)." & NL;

   type Long_Option is (Json, Noheadings, Output, Raw, Version, Help_Text);
   Letters : constant array (Long_Option) of Character := ['J', 'n', 'o', 'r', 'V', 'h'];

   function Name (Option : Long_Option) return String
   is (if Option = Help_Text then "help" else To_Lower (Option'Image));

   procedure Fail (Text : String) with No_Return is
   begin
      Bytes.Put_Error ("uuidparse: " & Text & NL);
      raise Failed;
   end Fail;

   procedure Fail_With_Hint (Text : String) with No_Return is
   begin
      Fail (Text & NL & "Try 'uuidparse --help' for more information.");
   end Fail_With_Hint;

   function Starts_With (Text, Prefix : String) return Boolean
   is (Text'Length >= Prefix'Length and then Head (Text, Prefix'Length) = Prefix);

   function Find (Word : String) return Long_Option is
      Equals  : constant Natural := Index (Word, "=");
      Prefix  : constant String := (if Equals = 0 then Word else Word (Word'First .. Equals - 1));
      Found   : Long_Option := Json;
      Matches : Natural := 0;
      Names   : Unbounded_String;
   begin
      for Option in Long_Option loop
         if Name (Option) = Prefix then
            return Option;
         elsif Starts_With (Name (Option), Prefix) then
            Found := Option;
            Matches := Matches + 1;
            Append (Names, " '--" & Name (Option) & "'");
         end if;
      end loop;
      if Matches = 0 then
         Fail_With_Hint ("unrecognized option '--" & Word & "'");
      elsif Matches > 1 then
         Fail_With_Hint ("option '--" & Word & "' is ambiguous; possibilities:" & To_String (Names));
      end if;
      return Found;
   end Find;

   --  An empty name and too many columns end the program without a word.
   procedure Choose_Columns (List : String; Columns : in out Column_List) is
      Start : Positive := List'First;
      From  : Positive;
      To    : Natural;
   begin
      if Starts_With (List, "+") then
         Start := Start + 1;
      else
         Columns.Clear;
      end if;
      if Start > List'Last then
         raise Failed;
      end if;
      From := Start;
      for Here in Start .. List'Last loop
         if Natural (Columns.Length) >= Most_Columns then
            raise Failed;
         end if;
         --  A comma that ends the list belongs to the last name.
         if Here = List'Last or else List (Here) = ',' then
            To := (if Here = List'Last then Here else Here - 1);
            if To < From then
               raise Failed;
            end if;
            declare
               Wanted : constant String := To_Upper (List (From .. To));
               Known  : Boolean := False;
            begin
               for Column in Uuids.Column loop
                  if Printing.Name (Column) = Wanted then
                     Columns.Append (Column);
                     Known := True;
                  end if;
               end loop;
               if not Known then
                  Fail ("unknown column: " & List (From .. List'Last));
               end if;
            end;
            From := Here + 1;
         end if;
      end loop;
   end Choose_Columns;

   procedure Read (Result : in out Settings) is
      Posix : constant Boolean := Ada.Environment_Variables.Exists ("POSIXLY_CORRECT");
      List  : Unbounded_String;
      Listed, Only_Operands : Boolean := False;
      Here  : Natural := 0;

      procedure Take (Letter : Character; Value : String := "") is
      begin
         case Letter is
            when 'J' =>
               Result.Json := True;
            when 'r' =>
               Result.Raw := True;
            when 'n' =>
               Result.No_Headings := True;
            when 'o' =>
               List := To_Unbounded_String (Value);
               Listed := True;
            when 'h' =>
               Bytes.Put (Help);
               raise Told;
            when others =>
               Bytes.Put ("uuidparse from util-linux 2.41.5" & NL);
               raise Told;
         end case;
         if Result.Json and Result.Raw then
            Fail ("mutually exclusive arguments: --json --raw");
         end if;
      end Take;

      procedure Read_Long (Word : String) is
         Equals : constant Natural := Index (Word, "=");
         Option : constant Long_Option := Find (Word);
         Letter : Character renames Letters (Option);
      begin
         if Equals > 0 and Option /= Output then
            Fail_With_Hint ("option '--" & Name (Option) & "' doesn't allow an argument");
         elsif Equals > 0 then
            Take (Letter, Word (Equals + 1 .. Word'Last));
         elsif Option /= Output then
            Take (Letter);
         elsif Here = Argument_Count then
            Fail_With_Hint ("option '--" & Name (Option) & "' requires an argument");
         else
            Here := Here + 1;
            Take (Letter, Argument (Here));
         end if;
      end Read_Long;

      procedure Read_Letters (Word : String) is
      begin
         for Index in Word'Range loop
            if Word (Index) not in 'J' | 'n' | 'o' | 'r' | 'V' | 'h' then
               Fail_With_Hint ("invalid option -- '" & Word (Index) & "'");
            elsif Word (Index) /= 'o' then
               Take (Word (Index));
            elsif Index < Word'Last then
               Take ('o', Word (Index + 1 .. Word'Last));
               exit;
            elsif Here = Argument_Count then
               Fail_With_Hint ("option requires an argument -- 'o'");
            else
               Here := Here + 1;
               Take ('o', Argument (Here));
            end if;
         end loop;
      end Read_Letters;
   begin
      for Column in Uuids.Column loop
         Result.Columns.Append (Column);
      end loop;
      while Here < Argument_Count loop
         Here := Here + 1;
         declare
            Word : constant String := Argument (Here);
         begin
            if Only_Operands or else Word'Length < 2 or else Word (Word'First) /= '-' then
               Result.Operands.Append (Word);
               Only_Operands := Only_Operands or Posix;
            elsif Word = "--" then
               Only_Operands := True;
            elsif Starts_With (Word, "--") then
               Read_Long (Word (Word'First + 2 .. Word'Last));
            else
               Read_Letters (Word (Word'First + 1 .. Word'Last));
            end if;
         end;
      end loop;
      if Listed then
         Choose_Columns (To_String (List), Result.Columns);
      end if;
   end Read;

end Options;
