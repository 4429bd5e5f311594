package mongofake

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// MongoDB's wire protocol: a header of four 32-bit numbers (length, id, id that is answered, kind), then by kind.
// https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/
const (
	opReply = 1
	opQuery = 2004
	opMsg   = 2013

	flagChecksum   = 1 << 0
	flagMoreToCome = 1 << 1
	flagExhaust    = 1 << 16

	headerSize  = 16
	maxDocument = 16 << 20
	maxMessage  = 48_000_000
)

var errMessage = errors.New("a message that is not understood")

// message is one command.
type message struct {
	id    int32
	query bool     // it came as OP_QUERY, as the first hello of a connection does
	quiet bool     // the client waits for no answer
	body  bson.Raw // with $db, and sequences of documents as arrays
}

func readMessage(c net.Conn) (message, error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(c, header[:]); err != nil {
		return message{}, err
	}
	length := int(int32(binary.LittleEndian.Uint32(header[:])))
	if length < headerSize || length > maxMessage {
		return message{}, errMessage
	}
	content := make([]byte, length)
	copy(content, header[:])
	if _, err := io.ReadFull(c, content[headerSize:]); err != nil {
		return message{}, err
	}
	m := message{id: int32(binary.LittleEndian.Uint32(header[4:]))}
	switch kind := binary.LittleEndian.Uint32(header[12:]); kind {
	case opMsg:
		return m, m.parseMsg(content)
	case opQuery:
		return m, m.parseQuery(content[headerSize:])
	default:
		return m, fmt.Errorf("%w: kind %d", errMessage, kind)
	}
}

// parseMsg reads flags and sections: one body, any sequences of documents.
func (m *message) parseMsg(content []byte) error {
	b := content[headerSize:]
	if len(b) < 4 {
		return errMessage
	}
	flags := binary.LittleEndian.Uint32(b)
	if flags&^uint32(flagChecksum|flagMoreToCome|flagExhaust) != 0 {
		return errMessage
	}
	m.quiet = flags&flagMoreToCome != 0
	if b = b[4:]; flags&flagChecksum != 0 {
		end := len(content) - 4
		sum := crc32.Checksum(content[:end], crc32.MakeTable(crc32.Castagnoli))
		if len(b) < 4 || binary.LittleEndian.Uint32(content[end:]) != sum {
			return errMessage
		}
		b = b[:len(b)-4]
	}
	var sequences []bson.E
	for len(b) > 0 {
		kind := b[0]
		section, rest, err := sized(b[1:])
		if err != nil {
			return err
		}
		b = rest
		switch {
		case kind == 0 && m.body == nil:
			m.body = section
		case kind == 1:
			e, err := sequence(section[4:])
			if err != nil {
				return err
			}
			sequences = append(sequences, e)
		default:
			return errMessage
		}
	}
	if m.body == nil || m.body.Validate() != nil {
		return errMessage
	}
	return m.join(sequences)
}

// sized cuts off what begins with its own length.
func sized(b []byte) (section, rest []byte, err error) {
	if len(b) < 5 {
		return nil, nil, errMessage
	}
	n := int(int32(binary.LittleEndian.Uint32(b)))
	if n < 5 || n > len(b) {
		return nil, nil, errMessage
	}
	return b[:n], b[n:], nil
}

// sequence is a name and documents.
func sequence(b []byte) (bson.E, error) {
	end := slices.Index(b, 0)
	if end < 0 {
		return bson.E{}, errMessage
	}
	name, documents := string(b[:end]), bson.A{}
	for b = b[end+1:]; len(b) > 0; {
		d, rest, err := sized(b)
		if err != nil || bson.Raw(d).Validate() != nil {
			return bson.E{}, errMessage
		}
		documents, b = append(documents, bson.Raw(d)), rest
	}
	return bson.E{Key: name, Value: documents}, nil
}

func (m *message) join(sequences []bson.E) error {
	if len(sequences) == 0 {
		return nil
	}
	var d bson.D
	elements, err := m.body.Elements()
	if err != nil {
		return err
	}
	for _, e := range elements {
		d = append(d, bson.E{Key: e.Key(), Value: e.Value()})
	}
	m.body, err = bson.Marshal(append(d, sequences...))
	return err
}

// parseQuery reads OP_QUERY, of which only commands to admin.$cmd are taken: flags, name, skip, number, document.
func (m *message) parseQuery(b []byte) error {
	const name = "admin.$cmd\x00"
	if len(b) < 4+len(name)+8 || string(b[4:4+len(name)]) != name {
		return errMessage
	}
	body, rest, err := sized(b[4+len(name)+8:])
	if err != nil || len(rest) > 0 || bson.Raw(body).Validate() != nil {
		return errMessage
	}
	m.query, m.body = true, body
	return m.join([]bson.E{{Key: "$db", Value: "admin"}})
}

// answer sends the reply in the form in which the command came.
func (m *message) answer(c net.Conn, reply bson.Raw) error {
	b := make([]byte, headerSize, headerSize+20+len(reply)+1)
	binary.LittleEndian.PutUint32(b[8:], uint32(m.id))
	if m.query {
		binary.LittleEndian.PutUint32(b[12:], opReply)
		b = append(b, 8, 0, 0, 0) // flags: AwaitCapable
		b = append(b, make([]byte, 12)...)
		b = append(b, 1, 0, 0, 0) // documents
	} else {
		binary.LittleEndian.PutUint32(b[12:], opMsg)
		b = append(b, 0, 0, 0, 0, 0)
	}
	b = append(b, reply...)
	binary.LittleEndian.PutUint32(b, uint32(len(b)))
	_, err := c.Write(b)
	return err
}
