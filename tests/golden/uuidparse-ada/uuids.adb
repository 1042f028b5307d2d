with Ada.Characters.Handling;
with Interfaces;   use Interfaces;
with Interfaces.C; use Interfaces.C;
with System;

package body Uuids is

   --  From 1582-10-15 to 1970-01-01, in units of 100 ns.
   Gregorian : constant Unsigned_64 := 16#01B2_1DD2_1381_4000#;

   --  The C library's struct tm: it knows the time zone.
   type Local_Time is record
      Second, Minute, Hour, Day, Month, Year, Weekday, Yearday, Daylight : int := 0;
      Offset : long := 0;
      Zone   : System.Address := System.Null_Address;
   end record
   with Convention => C;

   procedure Tzset with Import, Convention => C, External_Name => "tzset";

   procedure Localtime (When_Is : access constant Integer_64; Result : access Local_Time)
   with Import, Convention => C, External_Name => "localtime_r";

   function Padded (Value : Integer_64; Width : Positive) return String is
      Image  : constant String := Value'Image;
      Digit_Part : constant String := Image (Image'First + 1 .. Image'Last);
      Zeros  : constant String (1 .. Integer'Max (0, Width - Digit_Part'Length)) := [others => '0'];
   begin
      return Zeros & Digit_Part;
   end Padded;

   function Two (Value : int) return String is (Padded (Integer_64 (Value), 2));

   function Moment (Seconds, Micros : Unsigned_64) return String is
      When_Is : aliased constant Integer_64 := Integer_64 (Seconds);
      Local   : aliased Local_Time;
      Offset  : Integer_64;
   begin
      Tzset;
      Localtime (When_Is'Access, Local'Access);
      Offset := abs Integer_64 (Local.Offset);
      return Padded (Integer_64 (Local.Year) + 1900, 4) & "-" & Two (Local.Month + 1) & "-" & Two (Local.Day) & " "
        & Two (Local.Hour) & ":" & Two (Local.Minute) & ":" & Two (Local.Second) & ","
        & Padded (Integer_64 (Micros), 6)
        --  The sign is that of the hours: it is lost when they are zero.
        & (if Local.Offset <= -3600 then "-" else "+")
        & Padded (Offset / 3600, 2) & ":" & Padded (Offset / 60 mod 60, 2);
   end Moment;

   function Ticks (Count : Unsigned_64) return String is
      Since : constant Unsigned_64 := Count - Gregorian;
   begin
      return Moment (Since / 10_000_000, Since mod 10_000_000 / 10);
   end Ticks;

   procedure Parse (Word : String; First, Second : out Unsigned_64; Good : out Boolean) is
      Halves : array (0 .. 1) of Unsigned_64 := [0, 0];
      Count  : Natural := 0;
   begin
      First := 0;
      Second := 0;
      Good := Word'Length = 36;
      if not Good then
         return;
      end if;
      for Index in 0 .. 35 loop
         declare
            Byte : constant Character := Word (Word'First + Index);
         begin
            if Index in 8 | 13 | 18 | 23 then
               Good := Good and then Byte = '-';
            elsif not Ada.Characters.Handling.Is_Hexadecimal_Digit (Byte) then
               Good := False;
            else
               Halves (Count / 16) := Halves (Count / 16) * 16 + Unsigned_64'Value ("16#" & Byte & "#");
               Count := Count + 1;
            end if;
            if not Good then
               return;
            end if;
         end;
      end loop;
      First := Halves (0);
      Second := Halves (1);
   end Parse;

   function Describe (Word : String) return Row is
      Result        : Row;
      First, Second : Unsigned_64;
      Good          : Boolean;

      procedure Set (At_Column : Column; Text : String) is
      begin
         Result (At_Column) := To_Unbounded_String (Text);
      end Set;

      procedure Describe_Version is
         Version : constant Unsigned_64 := Shift_Right (First, 12) and 15;
         High    : constant Unsigned_64 := Shift_Right (First, 32);
         Middle  : constant Unsigned_64 := Shift_Right (First, 16) and 16#FFFF#;
         Low     : constant Unsigned_64 := First and 16#FFF#;
         Millis  : constant Unsigned_64 := Shift_Right (First, 16);
      begin
         case Version is
            when 1 =>
               Set (Kind, "time-based");
               Set (Time, Ticks (Shift_Left (Low, 48) or Shift_Left (Middle, 32) or High));
            when 2 =>
               Set (Kind, "DCE");
            when 3 =>
               Set (Kind, "name-based");
            when 4 =>
               Set (Kind, "random");
            when 5 =>
               Set (Kind, "sha1-based");
            when 6 =>
               Set (Kind, "time-v6");
               Set (Time, Ticks (Shift_Left (High, 28) or Shift_Left (Middle, 12) or Low));
            when 7 =>
               Set (Kind, "time-v7");
               Set (Time, Moment (Millis / 1000, Millis mod 1000 * 1000));
            when 8 =>
               Set (Kind, "vendor");
            when others =>
               Set (Kind, "unknown");
         end case;
      end Describe_Version;
   begin
      Set (Uuid, Word);
      Parse (Word, First, Second, Good);
      if not Good then
         Set (Variant, "invalid");
         Set (Kind, "invalid");
         Set (Time, "invalid");
         return Result;
      end if;
      case Shift_Right (Second, 60) is
         when 0 .. 7 =>
            Set (Variant, "NCS");
         when 8 .. 11 =>
            Set (Variant, "DCE");
            Describe_Version;
         when 12 .. 13 =>
            Set (Variant, "Microsoft");
         when others =>
            Set (Variant, "other");
      end case;
      return Result;
   end Describe;

   --  At most 36 bytes make a word, and the byte after it is lost; one that the input ends with does not count.
   procedure Split (Input : String; Words : in out Word_List) is
      From : Positive := Input'First;
      To   : Positive;
      Last : Natural;
   begin
      loop
         while From <= Input'Last
           and then Input (From) in ' ' | ASCII.HT | ASCII.LF | ASCII.VT | ASCII.FF | ASCII.CR
         loop
            From := From + 1;
         end loop;
         To := From;
         while To <= Input'Last and then To - From < 36
           and then Input (To) not in ' ' | ASCII.HT | ASCII.LF
         loop
            To := To + 1;
         end loop;
         exit when To > Input'Last;
         Last := To - 1;
         for Index in From .. To - 1 loop
            if Input (Index) = ASCII.NUL then
               Last := Index - 1;
               exit;
            end if;
         end loop;
         Words.Append (Input (From .. Last));
         From := To + 1;
      end loop;
   end Split;

end Uuids;
